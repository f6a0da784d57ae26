using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>Carries the mappings of a guest's function out in a container of the host. May be used from any thread.</summary>
/// <param name="memory">The guest's memory.</param>
/// <param name="container">The container of the device's group.</param>
public sealed class ContainerNotifier(GuestMemory memory, VfioContainer container) : IDmaNotifier
{
    /// <inheritdoc/>
    public Errno Map(ulong iova, ulong address, ulong length, bool writable)
    {
        try
        {
            // What the guest may only read a device may only read, whatever the tables say: that is no error of theirs.
            bool writes = writable && !memory.IsReadOnly(address);
            using PinnedGuestMemory held = memory.Pin(address, length, writes);
            container.MapDma(iova, length, writes ? DmaAccess.ReadWrite : DmaAccess.Read, held.Memory, held.Offset);
            return Errno.None;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }

    /// <inheritdoc/>
    public void Unmap(ulong iova, ulong length)
    {
        try
        {
            container.UnmapDma(iova, length);
        }
        catch (VfioException)
        {
            // The container has lost its group, and with it all mappings.
        }
    }
}
