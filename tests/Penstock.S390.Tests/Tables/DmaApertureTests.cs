using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Tables;

public sealed class DmaApertureTests
{
    private static readonly DmaAperture Aperture = new(0x10_0000, 0x1f_ffff);

    [Theory]
    [Trait("Row", "S3-7")]
    [InlineData(0x10_0000ul, 0x1000ul, 0x10_0000ul, 0x10_1000ul)]
    [InlineData(0x10_0800ul, 0x1000ul, 0x10_0000ul, 0x10_2000ul)]
    [InlineData(0x0ul, 0x20_0000ul, 0x10_0000ul, 0x20_0000ul)]
    [InlineData(0x1f_f000ul, 0x1000_0000ul, 0x1f_f000ul, 0x20_0000ul)]
    public void Clamp_Inside_OrAcrossABorder_GivesThePages(ulong start, ulong length, ulong first, ulong end)
    {
        Assert.Equal(ZpciErrorEvent.None, Aperture.Clamp(start, length, out ulong from, out ulong pages));
        Assert.Equal((first, (end - first) / 0x1000), (from, pages));
    }

    [Theory]
    [Trait("Row", "S3-7")]
    [InlineData(0x0ul, 0x1000ul)]
    [InlineData(0x20_0000ul, 0x1000ul)]
    [InlineData(0x10_0000ul, 0xffff_ffff_fff0_0000ul)]
    [InlineData(0x1f_f000ul, ulong.MaxValue)]
    public void Clamp_OutsideOrWrapping_OutOfRange(ulong start, ulong length) =>
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, Aperture.Clamp(start, length, out _, out _));

    [Theory]
    [InlineData(0x10_0000ul, 0ul)]
    [InlineData(0x0ul, 0x10_0000ul)]
    public void Clamp_NoPage_NothingToDo(ulong start, ulong length)
    {
        Assert.Equal(ZpciErrorEvent.None, Aperture.Clamp(start, length, out _, out ulong pages));
        Assert.Equal(0ul, pages);
    }

    [Theory]
    [InlineData(0ul, ulong.MaxValue, 0ul, 1ul << 52)]
    [InlineData(0ul, ulong.MaxValue - 0xfff, 0ul, (1ul << 52) - 1)]
    [InlineData(0x1000ul, ulong.MaxValue - 0x1000, 0x1000ul, (1ul << 52) - 1)]
    public void Clamp_AllOfTheAddressSpace_IsNotNothing(ulong start, ulong length, ulong first, ulong pages)
    {
        Assert.Equal(ZpciErrorEvent.None, new DmaAperture(0, ulong.MaxValue).Clamp(start, length, out ulong from, out ulong seen));
        Assert.Equal((first, pages), (from, seen));
    }

    [Fact]
    public void Clamp_RandomRanges_PagesAreThoseThatAreTouchedAndInside()
    {
        var random = new Random(7);
        for (int i = 0; i < 20_000; i++)
        {
            ulong start = (ulong)random.Next(0, 0x30) << 10;
            ulong length = (ulong)random.Next(0, 0x30) << 10;
            var aperture = new DmaAperture(0x4000, 0x7fff);
            bool refused = start + length < 0x4000 || start > 0x7fff;
            Assert.Equal(refused, aperture.Clamp(start, length, out ulong first, out ulong count) != ZpciErrorEvent.None);
            if (!refused)
            {
                IEnumerable<ulong> expected = Enumerable.Range(0, 0x40).Select(static p => (ulong)p << 12)
                    .Where(p => aperture.Contains(p, 0x1000) && p < start + length && p + 0xfff >= start && length != 0);
                IEnumerable<ulong> pages = Enumerable.Range(0, (int)count).Select(p => first + ((ulong)p << 12));
                Assert.Equal(expected, pages);
            }
        }
    }

    [Fact]
    public void Contains_TopOfTheAddressSpace_DoesNotWrap()
    {
        var whole = new DmaAperture(0x1000, ulong.MaxValue);
        Assert.True(whole.Contains(ulong.MaxValue - 0xfff, 0x1000));
        Assert.False(whole.Contains(ulong.MaxValue - 0xfff, 0x1001));
        Assert.False(whole.Contains(0x1000, 0));
        Assert.False(whole.Contains(0xfff, 1));
        Assert.True(whole.Contains(new DmaAperture(0x1000, 0x1fff)));
        Assert.False(whole.Contains(new DmaAperture(0, 0x1fff)));
    }

    [Fact]
    public void Of_Fib_RoundsOutwards()
    {
        DmaAperture aperture = DmaAperture.Of(new ZpciFib { FirstAddress = 0x1234, LastAddress = 0x5678 });
        Assert.Equal(new DmaAperture(0x1000, 0x5fff), aperture);
        Assert.True(new DmaAperture(2, 1).IsEmpty);
    }
}
