using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci.Tests;

public sealed class BarSizingTests
{
    public static TheoryData<PciBarKind, ulong, bool> Sizes()
    {
        var data = new TheoryData<PciBarKind, ulong, bool>();
        for (int bit = 2; bit <= 16; bit++)
        {
            data.Add(PciBarKind.Io, 1UL << bit, false);
        }

        for (int bit = 4; bit <= 31; bit++)
        {
            data.Add(PciBarKind.Memory32, 1UL << bit, (bit & 1) != 0);
        }

        for (int bit = 4; bit <= 63; bit++)
        {
            data.Add(PciBarKind.Memory64, 1UL << bit, (bit & 1) != 0);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Sizing_WritingOnes_ShowsTheSize(PciBarKind kind, ulong size, bool prefetchable)
    {
        using TestDevice device = With(new PciBar(2, kind, size, prefetchable));
        int at = PciConfigOffsets.Bar0 + 8;
        uint type = kind switch
        {
            PciBarKind.Io => 1u,
            PciBarKind.Memory32 => prefetchable ? 8u : 0,
            _ => prefetchable ? 12u : 4,
        };
        Assert.Equal(type, device.ReadConfig(at, 4));

        device.WriteConfig(at, 4, uint.MaxValue);
        device.WriteConfig(at + 4, 4, uint.MaxValue);
        ulong mask = ~(size - 1);
        Assert.Equal((uint)mask | type, device.ReadConfig(at, 4));
        Assert.Equal(kind == PciBarKind.Memory64 ? (uint)(mask >> 32) : 0, device.ReadConfig(at + 4, 4));
        Assert.Equal(size, device.GetRegionInfo(2).Size);
    }

    [Fact]
    [Trait("Row", "P2")]
    public void Sizing_OneMebibytePrefetchable_GivesTheWellKnownWordsAndRestores()
    {
        using TestDevice device = With(new PciBar(0, PciBarKind.Memory64, 1 << 20, Prefetchable: true));
        device.WriteConfig(PciConfigOffsets.Bar0, 4, 0xfe00_0000);
        device.WriteConfig(PciConfigOffsets.Bar0 + 4, 4, 0x12);
        Assert.Equal(0x12_fe00_0000u, device.ConfigSpace.BarAddress(0));

        device.WriteConfig(PciConfigOffsets.Bar0, 4, uint.MaxValue);
        device.WriteConfig(PciConfigOffsets.Bar0 + 4, 4, uint.MaxValue);
        Assert.Equal(0xfff0_000cu, device.ReadConfig(PciConfigOffsets.Bar0, 4));
        Assert.Equal(uint.MaxValue, device.ReadConfig(PciConfigOffsets.Bar0 + 4, 4));

        device.WriteConfig(PciConfigOffsets.Bar0, 4, 0xfe00_000c);
        device.WriteConfig(PciConfigOffsets.Bar0 + 4, 4, 0x12);
        Assert.Equal(0x12_fe00_0000u, device.ConfigSpace.BarAddress(0));
    }

    [Fact]
    [Trait("Row", "P3")]
    public void Sizing_UnassignedBarAndRom_ReadZero()
    {
        using TestDevice device = With(new PciBar(0, PciBarKind.Memory32, 0x1000));
        foreach (int offset in new[] { 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30 })
        {
            device.WriteConfig(offset, 4, uint.MaxValue);
            Assert.Equal(0u, device.ReadConfig(offset, 4));
        }

        Assert.Equal((0UL, VfioRegionFlags.None), (device.GetRegionInfo(VfioRegions.Rom).Size, device.GetRegionInfo(1).Flags));
    }

    [Theory]
    [InlineData(0, PciBarKind.Memory32, 24UL)]
    [InlineData(0, PciBarKind.Memory32, 8UL)]
    [InlineData(0, PciBarKind.Memory32, 1UL << 32)]
    [InlineData(0, PciBarKind.Io, 2UL)]
    [InlineData(0, PciBarKind.Memory64, 0UL)]
    [InlineData(5, PciBarKind.Memory64, 4096UL)]
    [InlineData(6, PciBarKind.Memory32, 4096UL)]
    [InlineData(-1, PciBarKind.Memory32, 4096UL)]
    public void Layout_ImpossibleBar_IsRefusedByName(int index, PciBarKind kind, ulong size)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => With(new PciBar(index, kind, size)));
        Assert.Contains($"BAR {index}", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Layout_BarOnTheHighHalfOfAnother_IsRefused() => Assert.Throws<ArgumentException>(() =>
        With(new PciBar(0, PciBarKind.Memory64, 4096), new PciBar(1, PciBarKind.Memory32, 4096)));

    [Fact]
    public void Layout_MsixTableOutsideItsBar_IsRefused()
    {
        Assert.Throws<ArgumentException>(() => With([new MsixCapability(4, 0, 0xff0, 0, 0)], new PciBar(0, PciBarKind.Memory32, 4096)));
        Assert.Throws<ArgumentException>(() => With([new MsixCapability(4, 0, 0, 0, 0x38)], new PciBar(0, PciBarKind.Memory32, 4096)));
        Assert.Throws<ArgumentException>(() => With([new MsixCapability(4, 0, 0, 0, 0x80)], new PciBar(0, PciBarKind.Io, 4096)));
    }

    private static TestDevice With(params PciBar[] bars) => With([], bars);

    private static TestDevice With(PciCapability[] capabilities, params PciBar[] bars) => new(new FakeFunction
    {
        Description = new PciFunctionDescription
        {
            VendorId = 1,
            DeviceId = 2,
            ClassCode = 0xff0000,
            Bars = bars,
            Capabilities = () => capabilities,
        },
    });
}
