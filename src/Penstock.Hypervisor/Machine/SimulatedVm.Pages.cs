using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <content>The guest's stores, and who watches them.</content>
public sealed partial class SimulatedVm : IPageTracking
{
    private volatile PageTrack[] _tracks = [];

    /// <summary>How many watchers of pages are registered.</summary>
    public int PageTracks => _tracks.Length;

    /// <inheritdoc/>
    public IPageTrack Track(IPageWatcher watcher)
    {
        ArgumentNullException.ThrowIfNull(watcher);
        var track = new PageTrack(Memory, watcher, Ended);
        lock (_gate)
        {
            _tracks = [.. _tracks, track];
        }

        return track;
    }

    /// <summary>The guest stores to its memory. Unlike writes of devices and of the host, watchers of the page are told, after the store.</summary>
    /// <param name="address">Guest address.</param>
    /// <param name="data">What it stores.</param>
    /// <returns>None; EFAULT: not all of it is there, or may be written.</returns>
    public Errno Store(ulong address, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            int length = (int)Math.Min((ulong)data.Length, GuestMemory.PageSize - (address % GuestMemory.PageSize));
            Errno errno = Memory.Write(address, data[..length]);
            if (errno != Errno.None)
            {
                return errno;
            }

            foreach (PageTrack track in _tracks)
            {
                track.Written(address, data[..length]);
            }

            data = data[length..];
            address += (ulong)length;
        }

        return Errno.None;
    }

    private void Ended(PageTrack track)
    {
        lock (_gate)
        {
            _tracks = [.. _tracks.Where(t => t != track)];
        }
    }
}
