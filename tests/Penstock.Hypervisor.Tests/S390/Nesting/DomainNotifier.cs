using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A VMM whose map calls go into an ordinary domain, as those of a container do.</summary>
internal sealed class DomainNotifier(GuestMemory memory, TranslatingDomain domain) : IDmaNotifier
{
    public long Maps { get; private set; }

    public Errno Map(ulong iova, ulong address, ulong length, bool writable)
    {
        foreach (GuestMemorySlot slot in memory.Slots)
        {
            if (address - slot.Address < slot.Length)
            {
                Maps++;
                DmaAccess access = writable && !slot.IsReadOnly ? DmaAccess.ReadWrite : DmaAccess.Read;
                domain.Map(iova, length, access, slot.Memory, slot.Offset + (address - slot.Address));
                return Errno.None;
            }
        }

        return Errno.EFAULT;
    }

    public void Unmap(ulong iova, ulong length) => domain.Unmap(new IovaRange(iova, iova + (length - 1)));
}
