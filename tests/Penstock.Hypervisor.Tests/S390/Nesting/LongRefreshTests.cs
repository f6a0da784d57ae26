using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A refresh whose look at the tables takes as long as the test wants; nobody else waits for it.</summary>
public sealed class LongRefreshTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Root = 1 << 20;
    private const ulong Segments = Root + ZpciIoTable.TableSize;
    private const ulong Near = Segments + ZpciIoTable.TableSize;
    private const ulong Far = Near + ZpciIoTable.PageTableSize;
    private const ulong Slow = 2 << 20;
    private const ulong Quick = Slow + (2 * Page);
    private const ulong Late = Slow + (4 * Page);

    // In another piece of the walk.
    private const ulong FarIova = Iova + (1ul << 30);

    private readonly VfioHost _host = new();
    private readonly ProcessMemory _memory;
    private readonly SlowMemory _below;
    private readonly WalkedRefresh _walked;
    private readonly List<Thread> _threads = [];

    public LongRefreshTests()
    {
        _memory = ProcessMemory.Allocate(4 << 20, _host.Ledger);
        _below = new SlowMemory(_memory, Slow);
        Fill(Root, ZpciIoTable.TableSize, ZpciIoTable.TableInvalid);
        Fill(Segments, ZpciIoTable.TableSize, ZpciIoTable.TableInvalid);
        Fill(Near, 2 * ZpciIoTable.PageTableSize, ZpciIoTable.PageInvalid);
        Write(NestingTables.EntryIn(Root, Iova, ZpciTableLevel.RegionThird), Segments | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
        Write(NestingTables.EntryIn(Segments, Iova, ZpciTableLevel.Segment), Near);
        Write(NestingTables.EntryIn(Segments, FarIova, ZpciTableLevel.Segment), Far);
        Write(NestingTables.EntryIn(Near, Iova, ZpciTableLevel.Page), Slow);
        Write(NestingTables.EntryIn(Near, Iova + Page, ZpciTableLevel.Page), Quick);
        Write(NestingTables.EntryIn(Far, FarIova, ZpciTableLevel.Page), Late);
        _walked = new WalkedRefresh(_below, _host.Ledger);
        var registration = new IoatRegistration(Iota.Of(Root, ZpciDesignationType.RegionThird), new DmaAperture(Iova, FarIova + Page - 1));
        Assert.Equal(Errno.None, _walked.Register(registration));
    }

    public void Dispose()
    {
        _below.GoOn.Set();
        _threads.ForEach(static t => t.Join());
        _walked.Dispose();
        _below.Dispose();
        _memory.Release();
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    public void Refresh_OfAnotherProcessor_DoesNotWait()
    {
        RpcitAnswer slow = default;
        Thread first = Start(() => slow = _walked.Refresh(Iova, Page));
        Assert.True(_below.Reached.Wait(HypervisorRig.Patience));

        RpcitAnswer quick = RpcitAnswer.Insufficient;
        Assert.True(Start(() => quick = _walked.Refresh(Iova + Page, Page)).Join(HypervisorRig.Patience), "it waits");

        Assert.Equal(RpcitAnswer.Done, quick);
        Assert.True(first.IsAlive);
        _below.GoOn.Set();
        first.Join();
        Assert.Equal(RpcitAnswer.Done, slow);
    }

    [Fact]
    public void Deregister_WhileItLooks_EndsItBeforeTheNextPiece()
    {
        RpcitAnswer answer = RpcitAnswer.Insufficient;
        Thread refresh = Start(() => answer = _walked.Refresh(Iova, FarIova + Page - Iova));
        Assert.True(_below.Reached.Wait(HypervisorRig.Patience));
        Thread end = Start(_walked.Deregister);

        // From then on nothing translates, and it waits for the piece that is being looked at.
        Assert.True(SpinWait.SpinUntil(() => _walked.Domain.Read(Iova + Page, new byte[1]) == Errno.EFAULT, HypervisorRig.Patience), "it waits");
        Assert.True(end.IsAlive);
        _below.GoOn.Set();
        refresh.Join();
        end.Join();

        Assert.Equal(RpcitAnswer.Done, answer);
        Assert.False(_below.Asked(Late));
        Assert.Equal(ZpciErrorEvent.InvalidAddressSpace, _walked.Refresh(Iova, Page).Event);
    }

    [Fact]
    public void Refresh_NobodyInterferes_LooksAtAllPieces()
    {
        _below.GoOn.Set();
        Assert.Equal(RpcitAnswer.Done, _walked.Refresh(Iova, FarIova + Page - Iova));
        Assert.True(_below.Asked(Late));
    }

    private Thread Start(Action what)
    {
        var thread = new Thread(() => what()) { IsBackground = true };
        _threads.Add(thread);
        thread.Start();
        return thread;
    }

    private void Fill(ulong address, ulong length, ulong entry)
    {
        for (ulong at = 0; at < length; at += ZpciIoTable.EntrySize)
        {
            Write(address + at, entry);
        }
    }

    private void Write(ulong address, ulong entry) => BinaryPrimitives.WriteUInt64BigEndian(_memory.Span(address, sizeof(ulong)), entry);

    /// <summary>Memory at its own offsets as addresses; who asks for one of its pages has to wait.</summary>
    private sealed class SlowMemory(ProcessMemory memory, ulong slow) : TranslatingDomain
    {
        private long _asked;

        public ManualResetEventSlim Reached { get; } = new();

        public ManualResetEventSlim GoOn { get; } = new();

        public override IovaRange Aperture => IovaRange.All;

        public override ulong PageSizes => Page;

        public override int Count => 1;

        /// <summary>Whether anybody has asked for a page since.</summary>
        public bool Asked(ulong page) => (Interlocked.Read(ref _asked) & (1L << (int)((page - slow) / Page))) != 0;

        public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset) => throw new NotSupportedException();

        public override ulong Unmap(IovaRange range) => throw new NotSupportedException();

        protected override Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
        {
            if (iova >= slow)
            {
                Interlocked.Or(ref _asked, 1L << (int)((iova - slow) / Page));
            }

            if (iova / Page == slow / Page)
            {
                Reached.Set();
                GoOn.Wait();
            }

            // No page leads on to the next: each is asked for.
            target = new DmaTarget(memory, iova, iova >= slow ? Page - (iova % Page) : slow - iova);
            return Errno.None;
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
