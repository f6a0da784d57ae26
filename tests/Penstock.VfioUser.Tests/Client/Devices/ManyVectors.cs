using Penstock.Interop;
using Penstock.Pci;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>A function with more vectors than descriptors go with one message.</summary>
internal sealed class ManyVectors : IPciFunction
{
    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 0x567b,
        ClassCode = 0xff0000,
        Bars = [new PciBar(0, PciBarKind.Memory32, 0x10000)],
        Capabilities = static () => [new MsiCapability(32), new MsixCapability(128, 0, 0x1000, 0, 0x8000)],
    };

    public void Attach(PciFunctionPort port)
    {
    }

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        data.Clear();
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data) => Errno.None;

    public void Reset(PciResetKind kind)
    {
    }
}
