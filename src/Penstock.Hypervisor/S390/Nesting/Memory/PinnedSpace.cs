using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>A guest's addresses by the slots of its memory.</summary>
internal sealed class PinnedSpace(GuestPins pins) : IGuestSpace
{
    public Errno Find(ulong address, DmaAccess access, out DmaTarget target)
    {
        if (pins.Find(address) is not { } slot)
        {
            target = default;
            return Errno.EFAULT;
        }

        target = new DmaTarget(slot.Memory, slot.Offset + (address - slot.First), slot.Last - address + 1);
        return slot.IsReadOnly && (access & DmaAccess.Write) != 0 ? Errno.EPERM : Errno.None;
    }
}
