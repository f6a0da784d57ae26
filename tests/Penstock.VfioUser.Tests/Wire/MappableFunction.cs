using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests;

/// <summary>
/// BARs with memory of each kind: 0 with two pages out of four that can be mapped, 1 with all of it, 2 with memory that has no descriptor, 3 with none.
/// </summary>
internal sealed class MappableFunction : IPciFunction
{
    public const ulong BarSize = 0x4000;

    private readonly ProcessMemory _plain = ProcessMemory.Allocate(BarSize);

    public MappableFunction()
    {
        Description = new PciFunctionDescription
        {
            VendorId = 0x1234,
            DeviceId = 0x567a,
            ClassCode = 0xff0000,
            Bars =
            [
                new PciBar(0, PciBarKind.Memory32, BarSize)
                {
                    Memory = Doorbells,
                    MappableAreas = [new VfioRegionArea(0x1000, 0x1000), new VfioRegionArea(0x3000, 0x1000)],
                },
                new PciBar(1, PciBarKind.Memory32, BarSize) { Memory = Whole },
                new PciBar(2, PciBarKind.Memory32, BarSize) { Memory = _plain },
                new PciBar(3, PciBarKind.Memory32, BarSize),
            ],
            Capabilities = static () => [new MsixCapability(4, 1, 0x2000, 1, 0x3000)],
        };
    }

    public SharedMemory Doorbells { get; } = SharedMemory.Create("doorbells", BarSize);

    public SharedMemory Whole { get; } = SharedMemory.Create("whole", BarSize);

    public PciFunctionDescription Description { get; }

    public List<(int Bar, ulong Offset)> Calls { get; } = [];

    public void Attach(PciFunctionPort port)
    {
    }

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        Calls.Add((bar, offset));
        data.Clear();
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        Calls.Add((bar, offset));
        return Errno.None;
    }

    public void Reset(PciResetKind kind) => Doorbells.Span(0x1000, 0x1000).Clear();
}
