namespace Penstock.Interop.Tests;

public sealed unsafe class NativeBlockTests
{
    [Fact]
    public void Allocate_Items_AreZeroesAndCountedUntilTheyAreFreed()
    {
        var ledger = new ResourceLedger();
        long* block = NativeBlock.Allocate<long>(1000, ledger);
        Assert.Equal(-1, new ReadOnlySpan<long>(block, 1000).IndexOfAnyExcept(0));
        Assert.Equal(1, ledger.Outstanding(ResourceKind.NativeBlock));
        block[999] = -1;
        NativeBlock.Free(ref block, ledger);
        Assert.True(block == null);
        Assert.Equal("nothing", ledger.ToString());
    }

    [Fact]
    public void Free_Again_ChangesNothing()
    {
        var ledger = new ResourceLedger();
        byte* kept = NativeBlock.Allocate<byte>(1, ledger);
        byte* block = NativeBlock.Allocate<byte>(1, ledger);
        NativeBlock.Free(ref block, ledger);
        NativeBlock.Free(ref block, ledger);
        Assert.Equal(1, ledger.Outstanding(ResourceKind.NativeBlock));
        NativeBlock.Free(ref kept, ledger);
    }

    [Fact]
    public void Allocate_WithoutLedger_IsCountedNowhere()
    {
        byte* block = NativeBlock.Allocate<byte>(16, ledger: null);
        block[15] = 1;
        NativeBlock.Free(ref block, ledger: null);
        Assert.True(block == null);
    }
}
