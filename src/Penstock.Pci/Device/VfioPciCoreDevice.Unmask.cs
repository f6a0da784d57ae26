using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Pci;

// Unmasking by eventfd: whoever saw the guest's end of interrupt tells the device without its user in between.
public partial class VfioPciCoreDevice
{
    private Unmasking? _unmask;

    private void BindUnmask(in VfioIrqRequest request)
    {
        EventDescriptor? taken = request.TakeEvent(0, _ledger);
        if (taken is null)
        {
            ListenForUnmask(null);
            return;
        }

        try
        {
            ListenForUnmask(_unmask is null
                ? new Unmasking(this, taken)
                : throw Refused(Errno.EBUSY, request, "an eventfd unmasks it already; take that away first"));
        }
        catch (SystemCallException e)
        {
            taken.Dispose();
            throw Refused(e.Errno, request, e.Message);
        }
        catch (VfioException)
        {
            taken.Dispose();
            throw;
        }
    }

    private void ListenForUnmask(Unmasking? unmasking)
    {
        _unmask?.Dispose();
        _unmask = unmasking;
    }

    /// <summary>
    /// One user's wish. The thread that watches is all devices' thread, and an interrupt may have to wait for its own user's counter: so the
    /// device's strand unmasks, and only while the wish is still there.
    /// </summary>
    private sealed class Unmasking : IStrandWork, IDisposable
    {
        private readonly VfioPciCoreDevice _device;
        private readonly EventWatch _watch;
        private int _posted;

        public Unmasking(VfioPciCoreDevice device, EventDescriptor events)
        {
            _device = device;
            _watch = device._events.Watch(events, Signalled);
        }

        public void Dispose() => _watch.Dispose();

        void IStrandWork.Run()
        {
            Interlocked.Exchange(ref _posted, 0);
            if (_device._unmask == this)
            {
                _device._intx.Unmask();
            }
        }

        private void Signalled(ulong signals)
        {
            if (Interlocked.Exchange(ref _posted, 1) == 0)
            {
                _device._strand.Post(this);
            }
        }
    }
}
