using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Pci;

// Unmasking by eventfd: whoever saw the guest's end of interrupt tells the device without its user in between.
public partial class VfioPciCoreDevice
{
    private EventWatch? _unmask;

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
                ? _events.Watch(taken, _ => _intx.Unmask())
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

    private void ListenForUnmask(EventWatch? watch)
    {
        _unmask?.Dispose();
        _unmask = watch;
    }
}
