using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Testing.Tests;

/// <summary>
/// A function that can do everything that the bench looks at, and can be made wrong on purpose: BAR 0 has registers of 8 bytes, BAR 2 the
/// MSI-X table.
/// </summary>
internal class ProbeFunction : IPciFunction
{
    internal const ulong Scratch = 0x00;
    internal const ulong Address = 0x08;
    internal const ulong CopyIn = 0x10;
    internal const ulong CopyOut = 0x18;
    internal const ulong Pin = 0x20;
    internal const ulong Vector = 0x28;
    internal const ulong Result = 0x30;
    internal const ulong Break = 0x38;
    internal const ulong Size = 0x1000;
    internal const int Vectors = 4;

    private readonly byte[] _buffer = new byte[64];
    private readonly ulong[] _registers = new ulong[8];

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 1,
        ClassCode = 0xff0000,
        InterruptPin = 1,
        Bars = [new PciBar(0, PciBarKind.Memory32, Size), new PciBar(2, PciBarKind.Memory32, 0x1000)],
        Capabilities = static () => [new ExpressCapability(), new MsiCapability(1), new MsixCapability(Vectors, 2, 0, 2, 0x800)],
    };

    /// <summary>What happens when BREAK is written with 0xbad, the number of a mistake.</summary>
    internal Action<PciFunctionPort, ulong>? Mistake { get; init; }

    protected PciFunctionPort Port { get; private set; } = null!;

    protected ulong[] Registers => _registers;

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        if (bar != 0 || offset % sizeof(ulong) != 0 || data.Length != sizeof(ulong) || offset / sizeof(ulong) >= (ulong)_registers.Length)
        {
            return Errno.EINVAL;
        }

        BinaryPrimitives.WriteUInt64LittleEndian(data, _registers[offset / sizeof(ulong)]);
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (bar != 0 || offset % sizeof(ulong) != 0 || data.Length != sizeof(ulong) || offset / sizeof(ulong) >= (ulong)_registers.Length)
        {
            return Errno.EINVAL;
        }

        ulong value = BinaryPrimitives.ReadUInt64LittleEndian(data);
        _registers[offset / sizeof(ulong)] = value;
        switch (offset)
        {
            case CopyIn or CopyOut:
                Port.Dma.Post(() => Copy(offset == CopyIn));
                break;
            case Pin:
                Port.SetIntx(value != 0);
                break;
            case Vector:
                Port.SignalVector((int)Math.Min(value, int.MaxValue));
                break;
            case Break when value == 0xbad:
                Mistake?.Invoke(Port, _registers[Address / sizeof(ulong)]);
                break;
        }

        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        Array.Clear(_registers);
        Array.Clear(_buffer);
        Port.SetIntx(false);
    }

    private void Copy(bool incoming)
    {
        ulong iova = _registers[Address / sizeof(ulong)];
        _registers[Result / sizeof(ulong)] = 0x100 + (ulong)(incoming ? Port.Dma.Read(iova, _buffer) : Port.Dma.Write(iova, _buffer));
    }
}
