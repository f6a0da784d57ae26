using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio.Tests.Iommufd;

namespace Penstock.Vfio.Tests;

/// <summary>A user that moves its memory to other addresses while devices go on.</summary>
public sealed class Type1VaddrTests
{
    private const ulong Page = Type1Rig.Page;
    private const uint Vaddr = 4;

    [Fact]
    [Trait("Row", "T19")]
    public void UnmapVaddr_Twice_EINVALAndMarksKept()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
        Assert.Equal((Errno.None, 4 * Page), rig.Unmap(0, 4 * Page, VfioDmaUnmapFlags.Vaddr));
        Assert.Equal((Errno.EINVAL, 4 * Page), rig.Unmap(0, 4 * Page, VfioDmaUnmapFlags.Vaddr));
        Assert.Equal(Errno.EBUSY, rig.Device.Pin(0, 1));
        Assert.True(rig.IsMapped(0));
        Assert.Equal((Errno.None, 4 * Page), rig.Unmap(0, 4 * Page));
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
    }

    [Fact]
    [Trait("Row", "T20")]
    public void UnmapVaddr_SecondInvalidAlready_EINVALAndFirstValidAgain()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Map(Page, Page));
        Assert.Equal((Errno.None, Page), rig.Unmap(Page, Page, VfioDmaUnmapFlags.Vaddr));
        Assert.Equal(Errno.EINVAL, rig.Unmap(0, 2 * Page, VfioDmaUnmapFlags.Vaddr).Errno);
        Assert.Equal(Errno.EINVAL, rig.Map(0, Page, Vaddr));
        Assert.Equal(Errno.None, rig.Map(Page, Page, Vaddr));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 2));
    }

    [Fact]
    [Trait("Row", "T21")]
    public async Task MapVaddr_NewAddressAndProcess_DmaGoesOnAndTheChargeMoves()
    {
        using var rig = new Type1Rig();
        var port = new DmaPort(rig.IommuGroup, new Strand("test")) { BusMasterEnabled = true };
        var after = new Caller(1001, RawIo: false, LockMemory: false, 64 * Page) { ProcessId = 2 };

        // The same memory at another address of another process.
        using var moved = new SameMemory(rig.User, Type1Rig.Base, 0x1000_0000);
        rig.User.Span(Type1Rig.Base, 4).Fill(0x5a);
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
        bool stop = false;
        long reads = 0;
        Task<int> dma = Task.Run(() =>
        {
            byte[] seen = new byte[4];
            int bad = 0;
            while (!Volatile.Read(ref stop))
            {
                bad += port.Read(0, seen) == Errno.None && seen.AsSpan().IndexOfAnyExcept((byte)0x5a) < 0 ? 0 : 1;
                Volatile.Write(ref reads, reads + 1);
            }

            return bad;
        });

        // Two more: the first may have begun before the call.
        void ReadsGoOn()
        {
            long before = Volatile.Read(ref reads);
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref reads) >= before + 2, TimeSpan.FromMinutes(1)), "DMA has stopped");
        }

        ReadsGoOn();
        Assert.Equal((Errno.None, 4 * Page), rig.Unmap(0, 0, VfioDmaUnmapFlags.Vaddr | VfioDmaUnmapFlags.All));
        ReadsGoOn();
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page, Vaddr, 0x1000_0000, caller: after, memory: moved));
        ReadsGoOn();
        Volatile.Write(ref stop, true);
        Assert.Equal(0, await dma);
        Assert.Equal((0ul, 4ul), (rig.Locked, rig.LockedBy(after)));
        Assert.Equal(1, moved.Holds);
        Assert.Equal(Errno.None, rig.Device.DmaWrite(0, [1, 2, 3]));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 4));
        port.Strand.Dispose();
    }

    [Fact]
    public void MapVaddr_NewOwnerOverItsLimit_ENOMEMAndStillInvalid()
    {
        using var rig = new Type1Rig();
        Caller poor = rig.Caller with { MemlockLimit = Page, ProcessId = 3 };
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
        Assert.Equal((Errno.None, 4 * Page), rig.Unmap(0, 4 * Page, VfioDmaUnmapFlags.Vaddr));
        Assert.Equal(Errno.ENOMEM, rig.Map(0, 4 * Page, Vaddr, caller: poor));
        Assert.Equal((4ul, 0ul), (rig.Locked, rig.LockedBy(poor)));
        Assert.Equal(Errno.EBUSY, rig.Device.Pin(0, 1));
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page, Vaddr));
    }

    [Fact]
    [Trait("Row", "T22")]
    public void MapVaddr_ValidOrOtherSizeOrNothing_EachItsErrno()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
        Assert.Equal(Errno.EINVAL, rig.Map(0, 4 * Page, Vaddr));
        Assert.Equal(4 * Page, rig.Unmap(0, 4 * Page, VfioDmaUnmapFlags.Vaddr).Size);
        Assert.Equal(Errno.EINVAL, rig.Map(0, 2 * Page, Vaddr));
        Assert.Equal(Errno.EINVAL, rig.Map(Page, 3 * Page, Vaddr));
        Assert.Equal(Errno.ENOENT, rig.Map(8 * Page, Page, Vaddr));
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page, Vaddr));
    }

    [Fact]
    [Trait("Row", "T23")]
    public void UnmapVaddr_EmulatedGroup_EBUSY()
    {
        using var rig = new Type1Rig();
        IommuGroup emulated = rig.Host.RegisterEmulated(new FakeDevice("mediated"));
        using VfioGroup group = rig.Host.OpenGroup(emulated.Number, rig.Caller);
        Assert.Equal(Errno.None, rig.Map(0, Page));
        group.SetContainer(rig.Container);
        Assert.Equal((Errno.EBUSY, Page), rig.Unmap(0, Page, VfioDmaUnmapFlags.Vaddr));

        // It comes before the address is looked at.
        Assert.Equal(Errno.EBUSY, rig.Unmap(1, 0, VfioDmaUnmapFlags.Vaddr).Errno);
        group.UnsetContainer();
        Assert.Equal((Errno.None, Page), rig.Unmap(0, Page, VfioDmaUnmapFlags.Vaddr));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Row", "T24")]
    public void AttachPinCopy_VaddrInvalid_EBUSY(bool emulated)
    {
        using var rig = new Type1Rig();
        IommuGroup other = emulated ? rig.Host.RegisterEmulated(new FakeDevice("fake1")) : rig.Unit.CreateGroup();
        if (!emulated)
        {
            rig.Host.Register(new FakeDevice("fake1"), other);
        }

        using VfioGroup second = rig.Host.OpenGroup(other.Number, rig.Caller);
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Map(Page, Page));
        rig.Unmap(0, Page, VfioDmaUnmapFlags.Vaddr);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => second.SetContainer(rig.Container)));
        Assert.Equal(Errno.EBUSY, rig.Device.Pin(Page, 1));
        Assert.Equal(Errno.EBUSY, rig.Device.DmaRead(Page, new byte[1]));
        Assert.Equal(Errno.EBUSY, rig.Device.DmaWrite(Page, new byte[1]));
        Assert.Equal(Errno.None, rig.Map(0, Page, Vaddr));
        second.SetContainer(rig.Container);
        Assert.Equal(Errno.None, rig.Device.Pin(Page, 1));
    }

    [Fact]
    public void UpdateVaddr_MemoryDoesNotAllowTheAccess_EFAULTAndStillInvalid()
    {
        using var rig = new Type1Rig();
        ProcessMemory memory = ProcessMemory.Allocate(Page, rig.Host.Ledger);
        ProcessMemory readOnly = ProcessMemory.Over(memory.DirectAddress, Page, DmaAccess.Read);
        rig.Container.MapDma(0, Page, DmaAccess.ReadWrite, memory, 0);
        rig.Container.InvalidateVaddr(0, Page);
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => rig.Container.UpdateVaddr(0, Page, readOnly, 0)));
        Assert.Equal(1ul, rig.Locked);
        Assert.Equal(Errno.EBUSY, rig.Device.Pin(0, 1));
        rig.Container.UpdateVaddr(0, Page, memory, 0);
        Assert.Equal(Errno.None, rig.Device.DmaWrite(0, [9]));
        Assert.Equal(9, memory.Span(0, 1)[0]);
        readOnly.Release();
        memory.Release();
    }

    [Fact]
    public void MapVaddr_NothingAtTheNewAddress_DriversGetEFAULTAndDevicesGoOn()
    {
        using var rig = new Type1Rig();
        using var strand = new Strand("test");
        var port = new DmaPort(rig.IommuGroup, strand) { BusMasterEnabled = true };
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal((Errno.None, Page), rig.Unmap(0, Page, VfioDmaUnmapFlags.Vaddr));
        Assert.Equal(Errno.None, rig.Map(0, Page, Vaddr, vaddr: Page));
        Assert.Equal(Errno.EFAULT, rig.Device.DmaRead(0, new byte[1]));
        Assert.Equal(Errno.EFAULT, rig.Device.DmaWrite(0, [1]));
        Assert.Equal(Errno.EFAULT, rig.Device.Pin(0, 1));
        Assert.Equal(1ul, rig.Locked);
        Assert.Equal(Errno.None, port.Write(0, [7]));
        Assert.Equal(7, rig.User.Span(Type1Rig.Base, 1)[0]);

        // A group that joins gets the pages that the others have.
        IommuGroup other = rig.Host.AddIommuUnit("iommu1").CreateGroup();
        rig.Host.Register(new FakeDevice("fake1"), other);
        using VfioGroup second = rig.Host.OpenGroup(other.Number, rig.Caller);
        second.SetContainer(rig.Container);
        var another = new DmaPort(other, strand) { BusMasterEnabled = true };
        byte[] seen = new byte[1];
        Assert.Equal(Errno.None, another.Read(0, seen));
        Assert.Equal((7, 1ul), (seen[0], rig.Locked));

        // A better address helps.
        Assert.Equal((Errno.None, Page), rig.Unmap(0, Page, VfioDmaUnmapFlags.Vaddr));
        Assert.Equal(Errno.None, rig.Map(0, Page, Vaddr));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
    }

    [Fact]
    public void MapVaddr_BetweenOrdinaryAndDeviceMemory_ChargeFollows()
    {
        using var rig = new Type1Rig(caller: Rig.User with { MemlockLimit = 4 * Page });
        using var registers = new FakeUser(Type1Rig.Base, 8 * Page) { IsReserved = true };
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
        rig.Unmap(0, 4 * Page, VfioDmaUnmapFlags.Vaddr);
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page, Vaddr, memory: registers));
        Assert.Equal(0ul, rig.Locked);

        // The pages that it gave back can be had by another mapping; then it cannot come back.
        Assert.Equal(Errno.None, rig.Map(Type1Rig.Mega, Page));
        rig.Unmap(0, 4 * Page, VfioDmaUnmapFlags.Vaddr);
        Assert.Equal(Errno.ENOMEM, rig.Map(0, 4 * Page, Vaddr));
        Assert.Equal((1ul, 1), (rig.Locked, registers.Holds));
        Assert.Equal((Errno.None, Page), rig.Unmap(Type1Rig.Mega, Page));
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page, Vaddr));
        Assert.Equal((4ul, 0), (rig.Locked, registers.Holds));
    }

    /// <summary>Another process that has the same memory mapped somewhere else.</summary>
    private sealed class SameMemory(FakeUser user, ulong theirs, ulong ours) : IUserAddressSpace, IDisposable
    {
        public int Holds => user.Holds;

        public Errno Read(ulong address, Span<byte> destination) => user.Read(address - ours + theirs, destination);

        public Errno Write(ulong address, ReadOnlySpan<byte> source) => user.Write(address - ours + theirs, source);

        public UserMemory Resolve(ulong address, ulong length, DmaAccess access) => user.Resolve(address - ours + theirs, length, access);

        public void Dispose()
        {
            // The memory is the other's.
        }
    }
}
