using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A watcher of guest pages. Its gate is never held while the watcher is called: the watcher may wait for somebody who changes the pages.
/// </summary>
internal sealed class PageTrack(GuestMemory memory, IPageWatcher watcher, Action<PageTrack> ended) : IPageTrack
{
    private readonly object _gate = new();
    private readonly HashSet<ulong> _frames = [];
    private int _calls;
    private bool _ended;

    public bool Add(ulong frame)
    {
        if (frame > ulong.MaxValue / GuestMemory.PageSize || !memory.Has(frame * GuestMemory.PageSize))
        {
            return false;
        }

        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_ended, this);
            _frames.Add(frame);
            return true;
        }
    }

    public void Remove(ulong frame)
    {
        lock (_gate)
        {
            _frames.Remove(frame);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _ended = true;
            _frames.Clear();
            while (_calls != 0)
            {
                Monitor.Wait(_gate);
            }
        }

        ended(this);
    }

    internal void Written(ulong address, ReadOnlySpan<byte> data)
    {
        lock (_gate)
        {
            if (_ended || !_frames.Contains(address / GuestMemory.PageSize))
            {
                return;
            }

            _calls++;
        }

        try
        {
            watcher.PageWritten(address, data);
        }
        finally
        {
            lock (_gate)
            {
                if (--_calls == 0)
                {
                    Monitor.PulseAll(_gate);
                }
            }
        }
    }
}
