using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class AllocationTests
{
    private const int Rounds = 2000;

    [Fact]
    public void Translation_AllocatesNothing()
    {
        ProcessMemory memory = ProcessMemory.Allocate(1 << 20);
        using var domain = new SoftwareDomain(IovaRange.All, ~0xffful);
        for (ulong i = 0; i < 200; i++)
        {
            domain.Map(i * 0x2000, 0x1000, DmaAccess.ReadWrite, memory, 0);
        }

        byte[] data = new byte[64];
        AssertNoAllocation(() =>
        {
            using (DmaScope scope = domain.Enter())
            {
                scope.TryBorrow(0x4000, 64, DmaAccess.Read, out _);
            }

            domain.Read(0x6000, data);
            domain.Write(0x6000, data);
        });
        memory.Release();
    }

    [Fact]
    public void Dma_ThroughThePortAndCopiedMemory_AllocatesNothing()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        using MemoryFile file = MemoryFile.Create("guest", 0x4000);
        CopiedMemory copied = CopiedMemory.Create(rig.Host.Mappings, file.Descriptor, 0, 0x4000);
        container.MapDma(0, 0x4000, DmaAccess.ReadWrite, copied, 0);
        copied.Release();
        ProcessMemory direct = rig.Memory(0x1000);
        container.MapDma(0x8000, 0x1000, DmaAccess.ReadWrite, direct, 0);
        byte[] data = new byte[64];
        AssertNoAllocation(() =>
        {
            rig.Port.Write(0, data);
            rig.Port.Read(0x8000, data);
            ValueTask<Errno> done = rig.Port.ReadAsync(0x8000, data);
            Assert.True(done.IsCompletedSuccessfully);
        });
        direct.Release();
        group.Dispose();
        container.Dispose();
    }

    /// <summary>As a guest without an IOMMU of its own does with one buffer, and one with an IOMMU with many.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(40)]
    [InlineData(500)]
    public void MapsThatComeAndGo_AllocateNothing(int live)
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        ProcessMemory memory = rig.Memory(0x1000);
        for (int i = 0; i < live; i++)
        {
            container.MapDma((ulong)i * 0x2000, 0x1000, DmaAccess.ReadWrite, memory, 0);
        }

        // The first time around lists that are full are cut, so that there is room.
        int turn = 0;
        while (turn < 2 * live)
        {
            Next();
        }

        AssertNoAllocation(Next);
        void Next()
        {
            ulong iova = (ulong)(turn++ % live) * 0x2000;
            container.UnmapDma(iova, 0x1000);
            container.MapDma(iova, 0x1000, DmaAccess.ReadWrite, memory, 0);
        }

        memory.Release();
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    public void UnmapOfNothingAndPinsOfAHolder_AllocateNothing()
    {
        using var rig = new Type1Rig(emulated: true);
        Assert.Equal(Errno.None, rig.Map(0, 64 * Type1Rig.Page));

        // Who has pins in the neighbourhood already needs no new book.
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
        var pages = new PinnedPage[4];
        AssertNoAllocation(() =>
        {
            rig.Container.UnmapDma(Type1Rig.Mega, Type1Rig.Page);
            rig.Device.PinPages(8 * Type1Rig.Page, 4, DmaAccess.ReadWrite, pages);
            rig.Device.UnpinPages(8 * Type1Rig.Page, 4);
        });
    }

    [Fact]
    public void RegionAccess_AllocatesNothing()
    {
        using var strand = new Strand("fake2");
        using var rig = new Rig();
        rig.Host.Register(new FakeDevice("fake2", strand), rig.Group);
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioDeviceFile file = group.OpenDevice("fake2");
        byte[] data = new byte[4];
        AssertNoAllocation(() =>
        {
            file.BeginAccess();
            file.Write(0, 0, data, out _);
            file.Read(0, 0, data, out _);
            file.EndAccess();
        });
        file.Dispose();
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    public void Strand_PostOfReusedWork_AllocatesNothing()
    {
        using var strand = new Strand("test");
        var work = new Counter();
        strand.Post(work);
        AssertNoAllocation(() =>
        {
            using (strand.EnterRegisterCall())
            {
                strand.Post(work);
            }

            // The queue must not have to grow while this is measured.
            SpinWait.SpinUntil(work.IsDrained);
        });
    }

    private static void AssertNoAllocation(Action action) => Assert.Equal(0, AllocatedBytes.In(Rounds, _ => action()));

    private sealed class Counter : IStrandWork
    {
        private int _runs;

        public Counter() => IsDrained = () => Interlocked.Exchange(ref _runs, 0) != 0;

        public Func<bool> IsDrained { get; }

        public void Run() => Interlocked.Increment(ref _runs);
    }
}
