using Penstock.Interop;
using Penstock.Pci;

namespace Penstock.Hypervisor.Tests;

/// <summary>Hardware with a pin, MSI-X with four vectors and a memory BAR.</summary>
internal sealed class FakeFunction : IPciFunction
{
    private readonly byte[] _memory = new byte[0x4000];

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1b36,
        DeviceId = 0x0010,
        ClassCode = 0x010802,
        InterruptPin = 1,
        Bars = [new PciBar(0, PciBarKind.Memory64, 0x4000)],
        Capabilities = static () => [new MsiCapability(4), new MsixCapability(4, 0, 0x2000, 0, 0x3000)],
    };

    public PciFunctionPort Port { get; private set; } = null!;

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        _memory.AsSpan((int)offset, data.Length).CopyTo(data);
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        data.CopyTo(_memory.AsSpan((int)offset));
        return Errno.None;
    }

    public void Reset(PciResetKind kind) => Array.Clear(_memory);
}
