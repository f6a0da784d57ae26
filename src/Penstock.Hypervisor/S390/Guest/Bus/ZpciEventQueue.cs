using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Events that wait for a guest, oldest first. A guest that never asks gets the oldest ones; what comes when the queue is full is dropped and
/// counted. All members may be called from any thread, also with locks of devices held.
/// </summary>
internal sealed class ZpciEventQueue(int most)
{
    private readonly Lock _gate = new();
    private readonly Queue<ZpciGuestEvent> _events = new();
    private long _dropped;

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _events.Count;
            }
        }
    }

    public long Dropped => Interlocked.Read(ref _dropped);

    public bool TryTake(out ZpciGuestEvent oldest)
    {
        lock (_gate)
        {
            return _events.TryDequeue(out oldest);
        }
    }

    public bool Add(in ZpciErrorEventBlock error)
    {
        byte[] block = new byte[ZpciErrorEventBlock.Length];
        error.Write(block);
        return Add(new ZpciGuestEvent(ZpciEventContent.Error, block));
    }

    public bool Add(in ZpciAvailabilityEventBlock availability)
    {
        byte[] block = new byte[ZpciAvailabilityEventBlock.Length];
        availability.Write(block);
        return Add(new ZpciGuestEvent(ZpciEventContent.Availability, block));
    }

    private bool Add(in ZpciGuestEvent added)
    {
        lock (_gate)
        {
            if (_events.Count < most)
            {
                _events.Enqueue(added);
                return true;
            }
        }

        Interlocked.Increment(ref _dropped);
        return false;
    }
}
