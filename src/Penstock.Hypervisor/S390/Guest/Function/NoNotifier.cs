using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>For a device that does no DMA through a container: there is nothing to carry out.</summary>
internal sealed class NoNotifier : IDmaNotifier
{
    public Errno Map(ulong iova, ulong address, ulong length, bool writable) => Errno.None;

    public void Unmap(ulong iova, ulong length)
    {
    }
}
