namespace Penstock.Pci.Tests;

/// <summary>Registers whose writes may come as signals.</summary>
public sealed class DoorbellTests
{
    [Theory]
    [InlineData(0ul, 0, null)]
    [InlineData(0xffful, 1, 0xfful)]
    [InlineData(0xffeul, 2, 0xfffful)]
    [InlineData(0ul, 4, 0xfffffffful)]
    [InlineData(0xff8ul, 8, ulong.MaxValue)]
    public void Declaration_Possible_IsTaken(ulong offset, int size, ulong? match)
    {
        using TestDevice device = With(new PciDoorbell(offset, size) { Match = match });
        Assert.Single(device.Hardware.Description.Bars[0].Doorbells);
    }

    [Theory]
    [InlineData(0x1000ul, 0, null)]
    [InlineData(0xffful, 2, null)]
    [InlineData(ulong.MaxValue, 1, null)]
    [InlineData(0ul, 3, null)]
    [InlineData(0ul, -1, null)]
    [InlineData(0ul, 16, null)]
    [InlineData(0ul, 0, 1ul)]
    [InlineData(0ul, 1, 0x100ul)]
    [InlineData(0ul, 4, 0x1_0000_0000ul)]
    public void Declaration_Impossible_IsRefusedByName(ulong offset, int size, ulong? match)
    {
        ArgumentException refused = Assert.Throws<ArgumentException>(() => With(new PciDoorbell(offset, size) { Match = match }));
        Assert.Contains("BAR 0: the doorbell", refused.Message, StringComparison.Ordinal);
    }

    private static TestDevice With(PciDoorbell doorbell) => new(new FakeFunction
    {
        Description = new PciFunctionDescription
        {
            VendorId = 1,
            DeviceId = 2,
            ClassCode = 0xff0000,
            Bars = [new PciBar(0, PciBarKind.Memory32, 0x1000) { Doorbells = [doorbell] }],
        },
    });
}
