using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Who is charged for what, and what a map needs of the memory.</summary>
public sealed class Type1AccountingTests
{
    private const ulong Page = Type1Rig.Page;
    private const ulong Mega = Type1Rig.Mega;
    private static readonly Caller Limited = Rig.User with { MemlockLimit = Mega };

    [Fact]
    [Trait("Row", "T9")]
    public void Map_OverTheLimit_ENOMEMAndNothingChanged()
    {
        using var rig = new Type1Rig(caller: Limited);
        Assert.Equal(Errno.None, rig.Map(16 * Mega, 16 * Page));
        Assert.Equal(Errno.ENOMEM, rig.Map(0, 2 * Mega));
        Assert.Equal(16ul, rig.Locked);
        Assert.False(rig.IsMapped(0));
        Assert.Equal(1, rig.User.Holds);
        Assert.Equal(65534u, rig.Available());
        Assert.Equal(Errno.None, rig.Map(0, Mega - (16 * Page)));
        Assert.Equal(Errno.ENOMEM, rig.Map(8 * Mega, Page));
    }

    [Fact]
    [Trait("Row", "T10")]
    public void Map_MayLockMemory_NoLimit()
    {
        using var rig = new Type1Rig(caller: Limited with { LockMemory = true });
        Assert.Equal(Errno.None, rig.Map(0, 2 * Mega));
    }

    [Fact]
    [Trait("Row", "T11")]
    public void Map_ReadOnlyMemory_EFAULTForWriteOnly()
    {
        using var rig = new Type1Rig();
        rig.User.ReadOnlyFrom = Type1Rig.Base;
        Assert.Equal(Errno.EFAULT, rig.Map(0, Page, flags: 2));
        Assert.Equal(Errno.EFAULT, rig.Map(0, Page, flags: 3));
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal(Errno.None, rig.Map(0, Page, flags: 1));
    }

    [Fact]
    [Trait("Row", "T12")]
    public void Map_HoleInTheMemory_EFAULTAndNothingLeft()
    {
        using var rig = new Type1Rig();
        rig.User.Hole = Type1Rig.Base + (4 * Page);
        Assert.Equal(Errno.EFAULT, rig.Map(0, 8 * Page));
        Assert.False(rig.IsMapped(0));
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal(0, rig.User.Holds);
        Assert.Equal(65535u, rig.Available());
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
    }

    [Fact]
    public void Map_TwoDomains_ChargedOnce()
    {
        using var rig = new Type1Rig();
        IommuGroup other = rig.Host.AddIommuUnit("iommu1").CreateGroup();
        rig.Host.Register(new FakeDevice("fake1"), other);
        using VfioGroup second = rig.Host.OpenGroup(other.Number, rig.Caller);
        Assert.Equal(Errno.None, rig.Map(0, 4 * Page));
        second.SetContainer(rig.Container);
        Assert.Equal(Errno.None, rig.Map(Mega, 4 * Page));
        Assert.Equal(8ul, rig.Locked);
        second.UnsetContainer();
        Assert.Equal(8ul, rig.Locked);
        Assert.Equal((Errno.None, 4 * Page), rig.Unmap(0, 4 * Page));
        Assert.Equal(4ul, rig.Locked);
    }

    [Fact]
    public void Map_TwoProcesses_EachPaysForItsOwn()
    {
        using var rig = new Type1Rig(caller: Limited);
        Caller other = Limited with { ProcessId = 7 };
        Assert.Equal(Errno.None, rig.Map(0, Mega));
        Assert.Equal(Errno.ENOMEM, rig.Map(4 * Mega, Page));
        Assert.Equal(Errno.None, rig.Map(4 * Mega, Mega, caller: other));
        Assert.Equal((256ul, 256ul), (rig.Locked, rig.LockedBy(other)));

        // Anybody who has the file may unmap; the one who paid gets it back.
        Assert.Equal((Errno.None, Mega), rig.Unmap(4 * Mega, Mega));
        Assert.Equal((256ul, 0ul), (rig.Locked, rig.LockedBy(other)));
    }

    [Fact]
    public void Map_SameProcessWithOtherLimitsAndRights_OneAccount()
    {
        Caller before = Limited with { MemlockLimit = 16 * Page, ProcessId = 7 };
        Caller after = before with { MemlockLimit = 20 * Page, RawIo = true };
        using var rig = new Type1Rig(caller: before);
        Assert.Equal(Errno.None, rig.Map(0, 16 * Page));
        Assert.Equal(Errno.ENOMEM, rig.Map(Mega, 16 * Page, caller: after));
        Assert.Equal(Errno.None, rig.Map(Mega, 4 * Page, caller: after));
        Assert.Equal((20ul, 20ul), (rig.Locked, rig.LockedBy(after)));
    }

    [Fact]
    public void Map_PeersWithoutLimit_NeverRefusedHoweverMuch()
    {
        const ulong Most = ulong.MaxValue - Page + 1;
        using var rig = new Rig();
        (IommuGroup other, _) = rig.Second();
        Caller peer = Caller.ForPeer(1000, 7);
        using VfioContainer first = rig.Host.OpenContainer(peer);
        using VfioContainer second = rig.Host.OpenContainer(peer);
        using (VfioGroup one = rig.Host.OpenGroup(rig.Group.Number, peer))
        using (VfioGroup two = rig.Host.OpenGroup(other.Number, peer))
        {
            one.SetContainer(first);
            first.SetIommu(VfioIommuType.Type1V2);
            two.SetContainer(second);
            second.SetIommu(VfioIommuType.Type1V2);
            var all = new MessageMemory(new FakeChannel(0, 16), 0, Most);
            first.MapDma(0, Most, DmaAccess.Read, all, 0);
            second.MapDma(0, Most, DmaAccess.Read, all, 0);
            all.Release();
            Assert.Equal(2 * (Most / Page), rig.Host.LockedMemory.Charged(LockedMemoryAccount.OfProcess(peer)));
        }

        Assert.Equal("nothing", rig.Host.MemoryBalance);
    }

    [Fact]
    public void Charge_SumAbove64Bits_DoesNotWrap()
    {
        var accounts = new LockedMemoryAccounts();
        var account = new LockedMemoryAccount(1000, null);
        accounts.Charge(account, ulong.MaxValue, ulong.MaxValue);
        accounts.Charge(account, ulong.MaxValue, ulong.MaxValue);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => accounts.Charge(account, 1, ulong.MaxValue - 1)));
        accounts.Uncharge(account, ulong.MaxValue);
        accounts.Uncharge(account, ulong.MaxValue - 1);
        Assert.Equal(1ul, accounts.Charged(account));
    }

    [Fact]
    [Trait("Row", "T31")]
    public void DetachReal_EmulatedPinsLeft_MappingsStayAndOnlyPinsAreCharged()
    {
        using var rig = new Type1Rig(emulated: true);
        IommuGroup real = rig.Unit.CreateGroup();
        rig.Host.Register(new FakeDevice("real"), real);
        using VfioGroup second = rig.Host.OpenGroup(real.Number, rig.Caller);
        Assert.Equal(Errno.None, rig.Map(0, 8 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(2 * Page, 3));
        Assert.Equal(3ul, rig.Locked);
        second.SetContainer(rig.Container);
        Assert.Equal(8ul, rig.Locked);
        Assert.Equal(Errno.None, rig.Map(Mega, 8 * Page));
        Assert.Equal(16ul, rig.Locked);
        second.UnsetContainer();
        Assert.Equal(3ul, rig.Locked);
        Assert.Equal(65533u, rig.Available());
        Assert.Equal(3, Type1Rig.Chain(rig.Info()).Count);
        rig.Device.UnpinPages(2 * Page, 3);
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal((Errno.None, 16 * Page), rig.Unmap(0, 0, VfioDmaUnmapFlags.All));
    }

    [Fact]
    public void AttachReal_RecordsThatCannotBePinned_ErrorAndUnwound()
    {
        using var rig = new Type1Rig(caller: Limited, emulated: true);
        IommuGroup real = rig.Unit.CreateGroup();
        rig.Host.Register(new FakeDevice("real"), real);
        using VfioGroup second = rig.Host.OpenGroup(real.Number, rig.Caller);
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Map(Mega, 2 * Mega));
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => second.SetContainer(rig.Container)));
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal((Errno.None, 2 * Mega), rig.Unmap(Mega, 2 * Mega));
        Assert.Equal(Errno.None, rig.Map(Mega, Page, vaddr: Page));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => second.SetContainer(rig.Container)));
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal((Errno.None, Page), rig.Unmap(Mega, Page));
        second.SetContainer(rig.Container);
        Assert.Equal(1ul, rig.Locked);
    }
}
