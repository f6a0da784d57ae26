using System.Text;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.Tap;

public sealed class TableRunTests
{
    [Theory]
    [InlineData("100000000 3 5000 rw")]
    [InlineData("100000000 3 5000 r")]
    [InlineData("100000000 1 -")]
    [InlineData("100000000 256 -S")]
    [InlineData("fffffffffffff000 1 -R")]
    [InlineData("0 17 !9")]
    public void Parse_EveryKind_IsWrittenAsItWas(string text) => Assert.Equal(text, TableRun.Parse(Encoding.ASCII.GetBytes($" {text} ")).ToString());

    [Fact]
    public void Walk_InsideOfARun_FindsWhatItSays()
    {
        TableRun run = TableRun.Parse("100000000 3 5000 r"u8);
        IoWalk walk = run.Walk(0x1_0000_1008);
        Assert.True(walk is { IsValid: true, CanWrite: false, Address: 0x6008, Length: 0xff8 });
        Assert.True(run.Has(0x1_0000_2fff) && !run.Has(0x1_0000_3000));
        Assert.Equal(ZpciErrorEvent.InvalidTableLength, TableRun.Parse("0 1 !8"u8).Walk(0).Fault);
        Assert.Equal(ZpciTableLevel.Segment, TableRun.Parse("0 1 -S"u8).Walk(0).Level);
    }

    [Theory]
    [InlineData("1000 1 5000 rw", "2000 2 6000 rw", "1000 3 5000 rw")]
    [InlineData("1000 1 -", "2000 2 -", "1000 3 -")]
    [InlineData("1000 1 5000 rw", "2000 2 6000 r", null)]
    [InlineData("1000 1 5000 rw", "2000 2 7000 rw", null)]
    [InlineData("1000 1 5000 rw", "3000 1 7000 rw", null)]
    [InlineData("1000 1 -", "2000 2 -S", null)]
    [InlineData("1000 1 !7", "2000 2 !8", null)]
    public void TryJoin_Neighbours_OnlyWhenTheySayTheSame(string first, string next, string? both)
    {
        TableRun run = TableRun.Parse(Encoding.ASCII.GetBytes(first));
        Assert.Equal(both is not null, run.TryJoin(TableRun.Parse(Encoding.ASCII.GetBytes(next)), out TableRun joined));
        Assert.Equal(both ?? first, joined.ToString());
    }
}
