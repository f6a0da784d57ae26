using Penstock.Hypervisor.Tests.S390.Nesting;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>The nested path: what the plugin writes into the ring is forgotten before the next translation, without a call.</summary>
public sealed class OuterInvalidationTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;

    private readonly NestingRig _rig = new();
    private readonly Lines _lines = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Access_AfterALine_WalksAgain_OthersKeepWhatTheyFound()
    {
        WalkedRefresh walked = Registered();
        _rig.Tables.Map(Iova, Data);
        _rig.Tables.Map(Iova + Page, Data + Page);
        nint first = NestingRig.Seen(walked.Domain, Iova)!.Value.Address;
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova + Page));
        long walks = walked.Walks;
        _rig.Tables.Map(Iova, Data + (2 * Page));
        Assert.Equal(first, NestingRig.Seen(walked.Domain, Iova)!.Value.Address);

        _lines.Add(Iova, Page);

        Assert.Equal(first + (nint)(2 * Page), NestingRig.Seen(walked.Domain, Iova)!.Value.Address);
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova + Page));
        Assert.Equal(walks + 1, walked.Walks);
        Assert.True(_lines.IsBusy);
    }

    [Fact]
    public void LineThatIsNotKnown_EverythingIsForgotten()
    {
        WalkedRefresh walked = Registered();
        _rig.Tables.Map(Iova, Data);
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));
        _rig.Tables.Unmap(Iova);

        _lines.Add(0, 0);

        Assert.Null(NestingRig.Seen(walked.Domain, Iova));
    }

    /// <summary>A count is the other side's word.</summary>
    [Fact]
    public void MoreLinesThanCanBe_NoneIsRead_EverythingIsForgotten()
    {
        WalkedRefresh walked = Registered();
        _rig.Tables.Map(Iova, Data);
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));
        _rig.Tables.Unmap(Iova);

        _lines.Claimed = uint.MaxValue;

        Assert.Null(NestingRig.Seen(walked.Domain, Iova));
        walked.DrainOuter(0, uint.MaxValue);
        Assert.Equal(1, walked.Waits);
    }

    [Fact]
    public void Drain_AccessOfAnotherPageInProgress_IsWaitedFor()
    {
        // After a drain nobody is busy, whatever its lines named: the next line is not waited for.
        WalkedRefresh walked = Registered();
        _rig.Tables.Map(Iova, Data);
        using var inScope = new ManualResetEventSlim();
        using var mayLeave = new ManualResetEventSlim();
        bool left = false;
        var device = new Thread(() =>
        {
            using DmaScope scope = walked.Domain.Enter();
            Assert.True(scope.TryBorrow(Iova, 1, DmaAccess.Read, out _));
            inScope.Set();
            mayLeave.Wait();
            Volatile.Write(ref left, true);
        });
        device.Start();
        inScope.Wait();
        _lines.Add(Iova + (64 * Page), Page);
        bool before = false;
        var drain = new Thread(() =>
        {
            walked.DrainOuter(0, 1);
            before = !Volatile.Read(ref left);
        });
        drain.Start();
        bool waited = SpinWait.SpinUntil(() => (drain.ThreadState & ThreadState.Stopped) != 0, TimeSpan.FromMilliseconds(100)) == false;
        mayLeave.Set();
        device.Join();
        drain.Join();

        Assert.True(waited);
        Assert.False(before);
    }

    [Fact]
    public void Drain_CountsWaitsForWhatWasTouched()
    {
        WalkedRefresh walked = Registered();
        _rig.Tables.Map(Iova, Data);
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));
        _lines.Add(Iova + (64 * Page), Page);
        walked.DrainOuter(0, 1);
        Assert.Equal(0, walked.Waits);

        _lines.Add(Iova, Page);
        walked.DrainOuter(1, 2);
        Assert.Equal(1, walked.Waits);
    }

    private WalkedRefresh Registered()
    {
        WalkedRefresh walked = _rig.Own(new WalkedRefresh(_rig.Memory, _rig.Payer(ulong.MaxValue / Page), _lines));
        Assert.Equal(Errno.None, walked.Register(_rig.Tables.Registration()));
        return walked;
    }

    private sealed class Lines : IOuterInvalidations
    {
        private readonly List<(ulong Start, ulong Length)> _lines = [];

        public bool IsBusy { get; private set; }

        /// <summary>How many there are said to be beyond those that there are.</summary>
        public uint Claimed { get; set; }

        public uint Head => (uint)_lines.Count + Claimed;

        public void Add(ulong start, ulong length) => _lines.Add((start, length));

        public bool TryReadLine(uint number, out ulong start, out ulong length)
        {
            (start, length) = _lines[(int)number];
            return length != 0;
        }

        public void MarkBusy() => IsBusy = true;
    }
}
