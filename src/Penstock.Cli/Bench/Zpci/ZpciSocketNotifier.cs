using Penstock.Hypervisor;
using Penstock.Interop;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Bench;

/// <summary>Carries a guest's mappings out as QEMU does for a device that another process serves: a DMA_MAP or DMA_UNMAP message for each.</summary>
internal sealed class ZpciSocketNotifier(VfioUserClient client, MemoryFile memory) : IDmaNotifier
{
    public Errno Map(ulong iova, ulong address, ulong length, bool writable)
    {
        try
        {
            client.MapDma(iova, length, writable ? DmaAccess.ReadWrite : DmaAccess.Read, memory, address);
            return Errno.None;
        }
        catch (VfioException refused)
        {
            return refused.Errno;
        }
    }

    public void Unmap(ulong iova, ulong length)
    {
        try
        {
            client.UnmapDma(iova, length);
        }
        catch (VfioException)
        {
            // Nothing is mapped there.
        }
    }
}
