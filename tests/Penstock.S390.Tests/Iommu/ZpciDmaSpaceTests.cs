using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Testing;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

public sealed class ZpciDmaSpaceTests : IDisposable
{
    private const ulong Page = DomainRig.Page;
    private readonly ManualTime _time = new();
    private readonly VfioHost _host;
    private readonly ZpciIommu _iommu;
    private readonly FakeHostFunction _function;
    private readonly IommuGroup _group;
    private readonly ProcessMemory _memory;

    public ZpciDmaSpaceTests()
    {
        _host = new VfioHost(new VfioHostOptions { Time = _time });
        _iommu = new ZpciIommu(_host, "zpci", new ZpciIommuOptions { ApertureFactor = 0 });
        _function = new FakeHostFunction(first: 0x1_0000_0000, last: 0x1_0000_0000 + (64 * Page) - 1);
        _group = _iommu.AddFunction(_function);
        _memory = ProcessMemory.Allocate(16 * Page, _host.Ledger);
    }

    public void Dispose()
    {
        _memory.Release();
        Assert.Equal("nothing", _host.Ledger.ToString());
        Assert.Null(_group.Domain);
        Assert.False(_group.IsClaimed);
        _host.Dispose();
    }

    [Fact]
    public void Strict_Unmap_RefreshesAndGivesBackAtOnce()
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group);
        ulong iova = space.Map(_memory, Page, 2 * Page, DmaAccess.ReadWrite);
        Assert.Equal(Errno.None, space.Domain.Write(iova + Page, [6]));
        Assert.Equal(6, _memory.Span(2 * Page, 1)[0]);
        space.Unmap(iova, 2 * Page);
        Assert.Equal((iova, 2 * Page), Assert.Single(_function.Refreshes));
        Assert.Equal(0, space.Domain.Count);
        Assert.Equal(iova, space.Map(_memory, 0, 2 * Page, DmaAccess.Read));
    }

    [Fact]
    public void Lazy_Unmap_KeepsMemoryAndAddressUntilTheQueueIsFull()
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = true, QueueSize = 4 });
        var seen = new HashSet<ulong>();
        for (int i = 1; i <= 4; i++)
        {
            ulong iova = space.Map(_memory, 0, Page, DmaAccess.ReadWrite);
            Assert.True(seen.Add(iova));
            space.Unmap(iova, Page);
            Assert.Equal(Errno.EFAULT, space.Domain.Write(iova, [1]));
            Assert.Equal((i % 4, i % 4, i / 4), (space.Waiting, space.Domain.Count, (int)space.Flushes));
        }

        Assert.Equal((0x1_0000_0000ul, 64 * Page), Assert.Single(_function.Refreshes));
        Assert.Equal(1, space.Domain.Counters.GlobalRefreshes);
        Assert.Contains(space.Map(_memory, 0, Page, DmaAccess.Read), seen);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Unmap_ByManyAtOnce_OneTakesItAndNothingIsGivenBackTwice(bool lazy)
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = lazy });
        int taken = 0;
        var odd = new ConcurrentQueue<Errno>();
        using var barrier = new Barrier(3);
        ulong iova = 0;
        Thread[] drivers = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() =>
        {
            for (int i = 0; i < 300; i++)
            {
                barrier.SignalAndWait();
                Errno errno = ErrnoOf(() => space.Unmap(iova, 8 * Page));
                Interlocked.Add(ref taken, errno == Errno.None ? 1 : 0);
                if (errno is not (Errno.None or Errno.EINVAL))
                {
                    odd.Enqueue(errno);
                }

                barrier.SignalAndWait();
            }
        }))];
        Array.ForEach(drivers, static d => d.Start());
        for (int i = 1; i <= 300; i++)
        {
            iova = space.Map(_memory, 0, 8 * Page, DmaAccess.Read);
            barrier.SignalAndWait();
            barrier.SignalAndWait();
            space.Flush();
            Assert.Equal((i, 0), (Volatile.Read(ref taken), space.Domain.Count));
        }

        Array.ForEach(drivers, static d => d.Join());
        Assert.Empty(odd);
    }

    [Fact]
    public void Lazy_TimeIsOver_FlushesWhatWaits()
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = true });
        space.Unmap(space.Map(_memory, 0, Page, DmaAccess.Read), Page);
        _time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Equal(1, space.Waiting);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal((0, 0, 1L), (space.Waiting, space.Domain.Count, space.Flushes));
        space.Unmap(space.Map(_memory, 0, Page, DmaAccess.Read), Page);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(2, space.Flushes);
    }

    [Fact]
    public void Lazy_AddressesRunOut_FlushMakesRoom()
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = true });
        for (int i = 0; i < 200; i++)
        {
            space.Unmap(space.Map(_memory, 0, Page, DmaAccess.Read), Page);
        }

        Assert.Equal(3, space.Flushes);
        for (int i = 0; i < 64; i++)
        {
            space.Map(_memory, 0, Page, DmaAccess.Read);
        }

        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => space.Map(_memory, 0, Page, DmaAccess.Read)));
    }

    [Fact]
    public void Lazy_InternalSharedMemory_IsStrict()
    {
        var ism = new FakeHostFunction { IsInternalSharedMemory = true };
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_iommu.AddFunction(ism), new ZpciDmaOptions { Lazy = true });
        Assert.False(space.IsLazy);
        space.Unmap(space.Map(_memory, 0, Page, DmaAccess.Read), Page);
        Assert.Single(ism.Refreshes);
    }

    [Fact]
    public void Open_UserOwnsTheGroup_EBUSYAndTheOtherWayRound()
    {
        _group.ClaimDma(this);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _iommu.OpenDmaSpace(_group)));
        _group.ReleaseDma(this);
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group);
        Assert.Equal(Errno.EPERM, ErrnoOf(() => _group.ClaimDma(this)));
    }

    [Fact]
    public void Open_QueueOfNoPowerOfTwo_EINVAL() =>
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = true, QueueSize = 3 })));

    [Fact]
    public void Open_FirmwareRefuses_EIOAndNothingIsLeft()
    {
        _function.RegisterAnswer = FakeHostFunction.Error(Specs.Zpci.ZpciStatus.InsufficientResources);
        Assert.Equal(Errno.EIO, ErrnoOf(() => _iommu.OpenDmaSpace(_group)));
        Assert.False(_group.IsClaimed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Unmap_NotOneMapping_EINVAL(bool lazy)
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = lazy });
        ulong iova = space.Map(_memory, 0, 2 * Page, DmaAccess.Read);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => space.Unmap(iova, Page)));
        space.Unmap(iova, 2 * Page);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => space.Unmap(iova, 2 * Page)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Unmap_TwoMappingsSideBySide_EINVALAndBothStay(bool lazy)
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = lazy });
        ulong first = space.Map(_memory, 0, Page, DmaAccess.ReadWrite);
        ulong second = space.Map(_memory, Page, Page, DmaAccess.ReadWrite);
        Assert.Equal(first + Page, second);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => space.Unmap(first, 2 * Page)));
        Assert.Equal(Errno.None, space.Domain.Write(first, new byte[2 * Page]));
        Assert.Equal(2, space.Domain.Count);
    }

    [Fact]
    public void Lazy_MemoryIsReleased_OnlyAfterAccessesHaveEnded()
    {
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = true, QueueSize = 1 });
        ulong iova = space.Map(_memory, 0, Page, DmaAccess.ReadWrite);
        using var inside = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        var device = new Thread(() =>
        {
            using DmaScope scope = space.Domain.Enter();
            Assert.True(scope.TryBorrow(iova, Page, DmaAccess.Write, out DmaRun run));
            inside.Set();
            leave.Wait();
            run.Span[0] = 1;
        }) { IsBackground = true };
        device.Start();
        inside.Wait();
        bool returned = false;
        var driver = new Thread(() =>
        {
            space.Unmap(iova, Page);
            Volatile.Write(ref returned, true);
        }) { IsBackground = true };
        driver.Start();

        // A queue of one flushes at once, and the flush has to wait for the device.
        Assert.False(driver.Join(50));
        Assert.Equal((false, 1), (Volatile.Read(ref returned), space.Domain.Count));
        leave.Set();
        device.Join();
        driver.Join();
        Assert.Equal(0, space.Domain.Count);
    }

    [Fact]
    public void Lazy_ManyThreads_EverythingComesBack()
    {
        const int Threads = 3;
        const int Rounds = 500;
        const int Queue = 8;
        using ZpciDmaSpace space = _iommu.OpenDmaSpace(_group, new ZpciDmaOptions { Lazy = true, QueueSize = Queue });
        int failures = 0;
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(id => new Thread(() =>
        {
            byte[] data = [(byte)(id + 1)];
            for (int i = 0; i < Rounds; i++)
            {
                ulong iova = space.Map(_memory, (ulong)id * Page, Page, DmaAccess.ReadWrite);
                bool right = space.Domain.Write(iova, data) == Errno.None && _memory.Span((ulong)id * Page, 1)[0] == id + 1;
                Interlocked.Add(ref failures, right ? 0 : 1);
                space.Unmap(iova, Page);
            }
        }) { IsBackground = true })];
        Array.ForEach(threads, static t => t.Start());
        Array.ForEach(threads, static t => t.Join());
        space.Flush();
        Assert.Equal((0, 0, 0), (failures, space.Waiting, space.Domain.Count));

        // Each thread may find the same queue full and flush, the later ones what little came meanwhile.
        Assert.InRange(space.Domain.Counters.GlobalRefreshes, 1, (Threads * (Threads * Rounds / Queue)) + 1);
    }
}
