// <readme>
using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Samples.Counter;

/// <summary>A counter: the driver adds to it; the device then stores the sum in the driver's memory and interrupts.</summary>
public sealed class CounterFunction : IPciFunction
{
    private const int Value = 0x00, Add = 0x04, Target = 0x08;

    private readonly RegisterFile _registers;
    private PciFunctionPort? _port;
    private int _resets;

    public CounterFunction() => _registers = new RegisterFile("counter", 16,
    [
        new Register("VALUE", Value, 4) { ReadOnlyMask = uint.MaxValue },
        new Register("ADD", Add, 4) { OnWrite = (_, added, _) => Count((uint)added) },
        new Register("TARGET", Target, 8),
    ]);

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 0xC047,
        ClassCode = 0xFF0000,
        Bars = [new PciBar(0, PciBarKind.Memory32, 4096)],
        Capabilities = () => [new MsixCapability(vectors: 1, tableBar: 0, tableOffset: 0x800, pbaBar: 0, pbaOffset: 0xC00)],
    };

    public void Attach(PciFunctionPort port) => _port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data) => _registers.Read(offset, data);

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data) => _registers.Write(offset, data);

    public void Reset(PciResetKind kind)
    {
        _resets++;
        _registers.Reset();
    }

    private void Count(uint added)
    {
        _registers[Value] = (uint)(_registers[Value] + added);
        int resets = _resets;
        _port!.Dma.Post(() => // after the write has been answered, as real hardware works on its own
        {
            Span<byte> sum = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32LittleEndian(sum, (uint)_registers[Value]);
            if (resets == _resets && _port.Dma.Write(_registers[Target], sum) == Errno.None && resets == _resets)
            {
                _port.SignalVector(0); // unless the device was reset before or during the transfer
            }
        });
    }
}
// </readme>
