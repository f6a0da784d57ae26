using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// All of a guest's memory as a device's, without tables (relaxed translation): guest address g is at the first DMA address plus g. Memory that
/// the guest gets later is not in it. Not for several threads at once.
/// </summary>
internal sealed class ZpciIdentity : IDisposable
{
    private readonly IDmaNotifier _notifier;
    private readonly List<(ulong Iova, ulong Length)> _mapped = [];

    /// <exception cref="VfioException">Part of the memory cannot be mapped; then nothing is.</exception>
    public ZpciIdentity(GuestMemory memory, IDmaNotifier notifier, ulong startDma, ulong lastAddress)
    {
        _notifier = notifier;
        try
        {
            foreach (GuestMemorySlot slot in memory.Slots)
            {
                Map(slot, startDma, lastAddress);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _mapped.ForEach(m => _notifier.Unmap(m.Iova, m.Length));
        _mapped.Clear();
    }

    private void Map(GuestMemorySlot slot, ulong startDma, ulong lastAddress)
    {
        // What the window does not reach is not the device's.
        if (lastAddress < startDma || slot.Address > lastAddress - startDma)
        {
            return;
        }

        ulong iova = startDma + slot.Address;
        ulong length = Math.Min(slot.Length - 1, lastAddress - iova) + 1;
        length &= ~(ZpciIoTable.PageSize - 1);
        Errno errno = length == 0 ? Errno.None : _notifier.Map(iova, slot.Address, length, !slot.IsReadOnly);
        if (errno != Errno.None)
        {
            throw new VfioException(errno, $"mapping the guest's memory at 0x{slot.Address:x}", $"0x{length:x} bytes at 0x{iova:x} cannot be mapped");
        }

        _mapped.Add((iova, length));
    }
}
