namespace Penstock.Devices.Tests;

public sealed class NvmeBlockRangesTests
{
    private readonly NvmeBlockRanges _ranges = new(3);

    [Theory]
    [InlineData(100, 199, true, 100, 199, true, false)]
    [InlineData(100, 199, true, 100, 199, false, false)]
    [InlineData(100, 199, false, 100, 199, true, false)]
    [InlineData(100, 199, false, 100, 199, false, true)]
    [InlineData(100, 199, true, 0, 99, true, true)]
    [InlineData(100, 199, true, 0, 100, true, false)]
    [InlineData(100, 199, true, 199, 300, false, false)]
    [InlineData(100, 199, true, 200, 300, true, true)]
    [InlineData(100, 199, true, 120, 130, true, false)]
    [InlineData(100, 199, false, 0, ulong.MaxValue, true, false)]
    [InlineData(0, ulong.MaxValue, true, ulong.MaxValue, ulong.MaxValue, false, false)]
    public void TryEnter_BesideAnother_OnlyWhereNothingIsWrittenInCommon(
        ulong first, ulong last, bool writes, ulong otherFirst, ulong otherLast, bool otherWrites, bool expected)
    {
        int place = _ranges.Enter(first, last, writes);
        bool entered = _ranges.TryEnter(otherFirst, otherLast, otherWrites, out int other);
        Assert.Equal(expected, entered);
        if (entered)
        {
            _ranges.Leave(other);
        }

        _ranges.Leave(place);
        Assert.True(_ranges.TryEnter(otherFirst, otherLast, otherWrites, out _));
    }

    [Fact]
    public void Write_ThatWaitsForReads_IsNotPassedByLaterReads()
    {
        int read = _ranges.Enter(0, 511, writes: false);
        Thread writer = Start(() => _ranges.Leave(_ranges.Enter(0, 1023, writes: true)));
        NvmeRig.WaitUntil(() => _ranges.Waiting == 1, "the write does not wait");
        Assert.False(_ranges.TryEnter(0, 511, writes: false, out _));
        Assert.False(_ranges.TryEnter(512, 1023, writes: false, out _));
        Assert.True(_ranges.TryEnter(1024, 2047, writes: true, out int beside));
        _ranges.Leave(read);
        Assert.True(writer.Join(NvmeRig.Patience), "the write waits for ever");
        Assert.True(_ranges.TryEnter(0, 1023, writes: false, out _));
        _ranges.Leave(beside);
    }

    [Fact]
    public void Enter_WithAllPlacesTaken_WaitsForOne()
    {
        int[] places = [_ranges.Enter(0, 0, true), _ranges.Enter(1, 1, true), _ranges.Enter(2, 2, true)];
        Assert.False(_ranges.TryEnter(3, 3, false, out _));
        Thread other = Start(() => _ranges.Leave(_ranges.Enter(3, 3, true)));
        NvmeRig.WaitUntil(() => _ranges.Waiting == 1, "nobody waits");
        _ranges.Leave(places[1]);
        Assert.True(other.Join(NvmeRig.Patience), "there is a place and it is not taken");
    }

    [Fact]
    public void Ranges_FoughtFor_AllocateNothing()
    {
        long[] allocated = [long.MaxValue, long.MaxValue];
        int inside = 0;
        int most = 0;
        Thread[] threads = [.. Enumerable.Range(0, 2).Select(i => Start(() =>
        {
            for (int turn = 0; turn < 6; turn++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int round = 0; round < 200; round++)
                {
                    int place = _ranges.Enter(0, 511, writes: true);
                    most = Math.Max(most, Interlocked.Increment(ref inside));
                    Thread.Yield();
                    Interlocked.Decrement(ref inside);
                    _ranges.Leave(place);
                }

                // The least of several turns: the runtime's own work comes now and then, ours would come each time.
                allocated[i] = Math.Min(allocated[i], GC.GetAllocatedBytesForCurrentThread() - before);
            }
        }))];
        Assert.All(threads, t => Assert.True(t.Join(NvmeRig.Patience), "a thread waits for ever"));
        Assert.Equal(1, most);
        Assert.Equal([0, 0], allocated);
    }

    private static Thread Start(ThreadStart work)
    {
        var thread = new Thread(work) { IsBackground = true };
        thread.Start();
        return thread;
    }
}
