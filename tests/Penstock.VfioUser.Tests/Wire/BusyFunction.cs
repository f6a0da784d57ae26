using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;

namespace Penstock.VfioUser.Tests;

/// <summary>
/// Hardware that does DMA: a write to BAR 0 of n at 0 reads, at 8 writes, at 16 reads without waiting, 256 bytes at n x 4096; each ends with MSI-X vector
/// n mod 8 and the pin up. A read of the BAR takes the pin down. Errors are counted and nothing else.
/// </summary>
internal sealed class BusyFunction : IPciFunction
{
    private long _resets;
    private long _transfers;
    private long _failed;

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 0x567c,
        ClassCode = 0xff0000,
        InterruptPin = 1,
        Bars = [new PciBar(0, PciBarKind.Memory32, 0x1000), new PciBar(4, PciBarKind.Memory32, 0x1000)],
        Capabilities = static () => [new MsixCapability(8, 4, 0, 4, 0x800)],
    };

    public PciFunctionPort Port { get; private set; } = null!;

    public long Transfers => Interlocked.Read(ref _transfers);

    public long Failed => Interlocked.Read(ref _failed);

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        Port.SetIntx(false);
        data.Fill(1);
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        Span<byte> whole = stackalloc byte[8];
        whole.Clear();
        data.CopyTo(whole);
        ulong n = BinaryPrimitives.ReadUInt64LittleEndian(whole);
        ulong iova = n << 12;
        long resets = _resets;
        switch (offset)
        {
            case 0:
                Port.Strand.Post(() => Do(resets, n, () => Port.Dma.Read(iova, new byte[256])));
                break;
            case 8:
                Port.Strand.Post(() => Do(resets, n, () => Port.Dma.Write(iova, new byte[256])));
                break;
            case 16:
                Port.Strand.Post(async () => Done(resets, n, resets == _resets ? await Port.Dma.ReadAsync(iova, new byte[256]) : Errno.ECANCELED));
                break;
            default:
                break;
        }

        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        Interlocked.Increment(ref _resets);
        Port.SetIntx(false);
    }

    private void Do(long resets, ulong n, Func<Errno> transfer)
    {
        if (resets == Interlocked.Read(ref _resets))
        {
            Done(resets, n, transfer());
        }
    }

    /// <summary>What was begun before a reset has no effect after it.</summary>
    private void Done(long resets, ulong n, Errno errno)
    {
        if (resets != Interlocked.Read(ref _resets))
        {
            return;
        }

        Interlocked.Increment(ref _transfers);
        if (errno != Errno.None)
        {
            Interlocked.Increment(ref _failed);
        }

        Port.SignalVector((int)(n % 8));
        Port.SetIntx(true);
    }
}
