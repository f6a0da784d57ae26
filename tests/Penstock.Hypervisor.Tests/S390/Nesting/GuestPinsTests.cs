using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

public sealed class GuestPinsTests : IDisposable
{
    private const ulong Page = 4096;
    private const ulong Size = 64 * Page;

    private readonly HypervisorRig _rig = new();

    private GuestMemory Memory => _rig.Vm.Memory;

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S3-4")]
    public void Pin_OfAPageTwice_ChargesItOnceUntilTheLastPinGoes()
    {
        using LockedPages payer = Payer(limitPages: 8);
        using GuestPins pins = Pins(payer);

        Change(pins, p => Assert.Equal(Errno.None, p.Pin(At(p, 0))));
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(At(p, 0))));

        Assert.Equal((2, 1, 1), (pins.Pins, pins.Pages, pins.Charged));
        Assert.Equal(2, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Change(pins, p => p.Unpin(At(p, 0)));
        Assert.Equal((1, 1, 1), (pins.Pins, pins.Pages, pins.Charged));
        Change(pins, p => p.Unpin(At(p, 0)));
        Assert.Equal((0, 0, 0), (pins.Pins, pins.Pages, pins.Charged));
        Assert.Equal(0, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
    }

    [Fact]
    [Trait("Row", "S3-4")]
    public void Pin_OverTheLimit_IsEnomemAndExactlyTheLimitIsCharged()
    {
        using LockedPages payer = Payer(limitPages: 5);
        using GuestPins pins = Pins(payer);
        var answers = new List<Errno>();

        Change(pins, p =>
        {
            for (ulong i = 0; i < 7; i++)
            {
                answers.Add(p.Pin(At(p, i)));
            }
        });

        Assert.Equal([Errno.None, Errno.None, Errno.None, Errno.None, Errno.None, Errno.ENOMEM, Errno.ENOMEM], answers);
        Assert.Equal((5, 5), (pins.Pages, pins.Charged));
        Change(pins, p => p.Unpin(At(p, 3)));
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(At(p, 6))));
        Assert.Equal((5, 5), (pins.Pages, pins.Charged));
    }

    [Fact]
    [Trait("Row", "S3-4")]
    public void Slot_ThatGoesWhileAPageIsPinned_StaysHeldUntilItIsUnpinned()
    {
        using LockedPages payer = Payer(limitPages: 8);
        var memory = ProcessMemory.Allocate(Size, _rig.Host.Ledger);
        Memory.Add(new GuestMemorySlot(1, 0, Size, memory));
        memory.Release();
        using var pins = new GuestPins(Memory, payer);
        GuestPage page = At(pins, 2);
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(page)));

        Memory.Remove(1);

        Assert.Null(pins.Find(2 * Page));
        Assert.True(_rig.Host.Ledger.Outstanding(ResourceKind.Mapping) + _rig.Host.Ledger.Outstanding(ResourceKind.NativeBlock) > 0);
        Assert.Equal(Errno.None, memory.Write(2 * Page, [1]));
        Change(pins, p => p.Unpin(page));
        Assert.Throws<ObjectDisposedException>(memory.Hold);
        Assert.Equal(0, payer.Count);
    }

    [Fact]
    public void Slot_InThePlaceOfAnother_HasPagesOfItsOwn()
    {
        using LockedPages payer = Payer(limitPages: 8);
        using GuestPins pins = Pins(payer);
        GuestPage before = At(pins, 2);
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(before)));

        Memory.Remove(1);
        AddSlot();

        Assert.NotEqual(before, At(pins, 2));
        Change(pins, p => p.Unpin(before));
        Assert.Equal(0, pins.Pins);
    }

    [Fact]
    [Trait("Row", "S3-11")]
    public void PinAll_PinsEachPageOnceAndFollowsNewSlots()
    {
        using LockedPages payer = Payer(limitPages: 200);
        using GuestPins pins = Pins(payer);
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(At(p, 1))));

        Assert.Equal(Errno.None, pins.PinAll());

        Assert.Equal((65, 64, 64), (pins.Pins, pins.Pages, pins.Charged));
        AddSlot(2, Size);
        Assert.Equal((129, 128, 128), (pins.Pins, pins.Pages, pins.Charged));
        Memory.Remove(2);
        Assert.Equal((65, 64, 64), (pins.Pins, pins.Pages, pins.Charged));
        pins.UnpinAll();
        Assert.Equal((1, 1, 1), (pins.Pins, pins.Pages, pins.Charged));
        Change(pins, p => p.Unpin(At(p, 1)));
    }

    [Fact]
    [Trait("Row", "S3-11")]
    public void PinAll_OverTheLimit_LeavesNothing()
    {
        using LockedPages payer = Payer(limitPages: 63);
        using GuestPins pins = Pins(payer);

        Assert.Equal(Errno.ENOMEM, pins.PinAll());

        Assert.Equal((0, 0, 0), (pins.Pins, pins.Pages, pins.Charged));
    }

    [Fact]
    public void Dispose_WithPinsLeft_GivesEverythingBack()
    {
        using LockedPages payer = Payer(limitPages: 200);
        GuestPins pins = Pins(payer);
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(At(p, 1))));
        Assert.Equal(Errno.None, pins.PinAll());

        pins.Dispose();

        Assert.Equal(0, payer.Count);
        Assert.Equal(0, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Null(pins.Find(0));
    }

    [Fact]
    public void Charge_OfAnotherUsersLimit_IsRememberedForGivingBack()
    {
        var poor = new Caller(1000, RawIo: false, LockMemory: false, 4 * Page);
        using var first = new LockedPages(_rig.Host, poor);
        using var second = new LockedPages(_rig.Host, poor);

        Assert.Equal(Errno.None, first.Charge(3));
        Assert.Equal(Errno.ENOMEM, second.Charge(2));
        Assert.Equal(Errno.None, second.Charge(1));
        first.Dispose();
        Assert.Equal(Errno.None, second.Charge(3));
        Assert.Equal(4, second.Count);
    }

    [Fact]
    public void PinUnpinAndFind_Warm_AllocateNothing()
    {
        using LockedPages payer = Payer(limitPages: 1000);
        using GuestPins pins = Pins(payer);
        Change(pins, p => Assert.Equal(Errno.None, p.Pin(At(p, 0))));
        Assert.Equal(0, AllocatedBytes.In(100, _ =>
        {
            pins.Begin(64);
            for (ulong page = 0; page < 64; page++)
            {
                pins.Pin(At(pins, page));
            }

            for (ulong page = 0; page < 64; page++)
            {
                pins.Unpin(At(pins, page));
            }

            pins.End();
        }));
    }

    private static GuestPage At(GuestPins pins, ulong page)
    {
        PinnedSlot slot = pins.Find(page * Page)!;
        return new GuestPage(slot.Id, page - (slot.First / Page));
    }

    private static void Change(GuestPins pins, Action<GuestPins> change)
    {
        pins.Begin(256);
        try
        {
            change(pins);
        }
        finally
        {
            pins.End();
        }
    }

    private LockedPages Payer(ulong limitPages) =>
        new(_rig.Host, new Caller(1000, RawIo: false, LockMemory: false, limitPages * Page));

    private GuestPins Pins(LockedPages payer)
    {
        AddSlot();
        return new GuestPins(Memory, payer);
    }

    private void AddSlot(int number = 1, ulong address = 0)
    {
        var memory = ProcessMemory.Allocate(Size, _rig.Host.Ledger);
        Memory.Add(new GuestMemorySlot(number, address, Size, memory));
        memory.Release();
    }
}
