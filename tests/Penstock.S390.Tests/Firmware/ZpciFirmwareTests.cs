using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Firmware;

/// <summary>What the host asks of its firmware about a function, with no guest anywhere.</summary>
public sealed class ZpciFirmwareTests : IDisposable, IHostInterruptHandler
{
    private const int Subclass = 2;

    private readonly ResourceLedger _ledger = new();
    private readonly ZpciFirmware _firmware;
    private readonly ZpciFunction _function;
    private readonly uint _vector;
    private readonly uint _summary;
    private readonly List<HostInterrupt> _seen = [];

    public ZpciFirmwareTests()
    {
        _firmware = new ZpciFirmware(ledger: _ledger);
        _function = new ZpciFunction(0x17, 3) { Firmware = _firmware };
        _vector = _firmware.Storage.Allocate(32, 32);
        _summary = _firmware.Storage.Allocate(32, 32);
        _firmware.SetHandler(Subclass, this);
    }

    void IHostInterruptHandler.Handle(in HostInterrupt interrupt) => _seen.Add(interrupt);

    public void Dispose()
    {
        _firmware.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void Modify_OutOfOrder_Status24AndDisabledHandle3()
    {
        var wrongOrder = new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError);
        var gone = new ZpciAnswer(ZpciConditionCode.InvalidHandle);
        Assert.Equal(wrongOrder, _function.DeregisterInterrupts());
        Assert.Equal(wrongOrder, _function.DeregisterIoat());
        Assert.Equal(ZpciAnswer.Done, _function.RegisterInterrupts(Fib()));
        Assert.Equal(wrongOrder, _function.RegisterInterrupts(Fib()));
        Assert.Equal(ZpciAnswer.Done, _function.RegisterIoat(0, 0xfff, 0x804));
        Assert.Equal(wrongOrder, _function.RegisterIoat(0, 0xfff, 0x1_0804));
        Assert.Equal(0x804ul, _function.Iota);
        Assert.Equal(Errno.None, _function.Disable());
        Assert.Equal((false, null), (_function.HasInterrupts, _function.Iota));
        Assert.Equal(gone, _function.RegisterInterrupts(Fib()));
        Assert.Equal(gone, _function.DeregisterInterrupts());
        Assert.Equal(gone, _function.RegisterIoat(0, 0xfff, 0x804));
        Assert.Equal(gone, _function.DeregisterIoat());
        Assert.Equal(Errno.None, _function.Disable());
    }

    [Fact]
    public void Modify_NoFirmwareOrNoVector_Status4()
    {
        var missing = new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.ResourceNotAvailable);
        Assert.Equal(missing, new ZpciFunction(1, 1).RegisterInterrupts(Fib()));
        Assert.Equal(missing, _function.RegisterInterrupts(Fib() with { VectorAddress = 0 }));
        Assert.False(_function.HasInterrupts);
    }

    [Fact]
    public void Signal_HostsVectors_ReachTheHostWhileItsSummaryIsClear()
    {
        Assert.False(_function.Signal(0));
        Assert.Equal(Errno.None, _function.UseHostInterrupts(Fib()));
        Assert.True(_function.Signal(1));
        Assert.True(_function.Signal(3));
        Assert.False(_function.Signal(4));
        Assert.Equal(0x28, _firmware.Storage.Bytes(_vector, 1)[0]);
        Assert.Equal(0x10, _firmware.Storage.Bytes(_summary, 1)[0]);
        Assert.Equal([new HostInterrupt(Subclass)], _seen);
        _firmware.Storage.Bytes(_summary, 8).Clear();
        Assert.True(_function.Signal(0));
        Assert.Equal(2, _seen.Count);
        _function.EndHostInterrupts();
        Assert.False(_function.Signal(0));
    }

    [Fact]
    public void SetSingle_OneInterruption_ThenNoneUntilAskedAgain()
    {
        Assert.Equal(Errno.None, _function.UseHostInterrupts(Fib(summary: false)));
        _firmware.SetSingle(Subclass);
        Assert.True(_function.Signal(0));
        Assert.True(_function.Signal(0));
        Assert.Single(_seen);
        _firmware.SetSingle(Subclass);
        Assert.True(_function.Signal(0));
        Assert.Equal(2, _seen.Count);
        _firmware.SetAll(Subclass);
        Assert.True(_function.Signal(0));
        Assert.True(_function.Signal(0));
        Assert.Equal((4, 4L), (_seen.Count, _firmware.Raised));
    }

    [Fact]
    public void Reenable_InstanceChangesAndRegistrationsComeBack_UntilTheyAreEnded()
    {
        uint before = _function.Handle;
        Assert.Equal(Errno.None, _function.UseHostInterrupts(Fib()));
        Assert.Equal(ZpciAnswer.Done, _function.RegisterIoat(0, 0xfff, 0x804));
        Assert.Equal(Errno.EIO, _function.Reenable(0x1000));
        Assert.Equal(Errno.None, _function.Disable());
        Assert.Equal(Errno.None, _function.Reenable(0x1000));
        Assert.NotEqual(before, _function.Handle);
        Assert.Equal(before & ZpciHandle.IndexMask, _function.Handle & ZpciHandle.IndexMask);
        Assert.Equal((true, 0x804ul, 0x1000u), (_function.HasInterrupts, _function.Iota, _function.Designation));
        _function.EndHostInterrupts();
        Assert.Equal(ZpciAnswer.Done, _function.DeregisterIoat());
        Assert.Equal(Errno.None, _function.Disable());
        Assert.Equal(Errno.None, _function.Reenable(0));
        Assert.Equal((false, null), (_function.HasInterrupts, _function.Iota));
    }

    [Theory]
    [InlineData(ZpciModifyOperation.RegisterInterrupts)]
    [InlineData(ZpciModifyOperation.RegisterIoat)]
    public void Reenable_OneStepFails_DisabledAgainWithNothingRegistered(ZpciModifyOperation refused)
    {
        Assert.Equal(Errno.None, _function.UseHostInterrupts(Fib()));
        Assert.Equal(ZpciAnswer.Done, _function.RegisterIoat(0, 0xfff, 0x804));
        Assert.Equal(Errno.None, _function.Disable());
        _firmware.ModifyFault = (_, o) => o == refused ? new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.InsufficientResources) : null;
        Assert.Equal(Errno.EIO, _function.Reenable(0x1000));
        Assert.Equal((false, 0u, false, null), (_function.IsEnabled, _function.Designation, _function.HasInterrupts, _function.Iota));
        _firmware.ModifyFault = null;
        Assert.Equal(Errno.None, _function.Reenable(0));
    }

    [Fact]
    public void Set_FirmwareBusyThenRefuses_IsAskedAgainAndNothingChanges()
    {
        int asked = 0;
        _firmware.SetFault = (_, _) => ++asked < 3 ? ZpciClpResponse.Busy : ZpciClpResponse.PermanentError;
        Assert.Equal(Errno.EIO, _function.Disable());
        Assert.Equal((3, true), (asked, _function.IsEnabled));
    }

    [Fact]
    public void SetNotificationControls_Once_KeptForAsLongAsTheHostIsUp()
    {
        var parameters = new ZpciAipb { SummaryVector = _summary, Table = _vector, ForwardingSubclass = 5, Entries = 2 };
        Assert.Null(_firmware.Parameters);
        Assert.True(_firmware.SetNotificationControls(parameters));
        Assert.False(_firmware.SetNotificationControls(parameters with { Entries = 1 }));
        Assert.Equal(parameters, _firmware.Parameters);
        using var without = new ZpciFirmware(new ZpciMachine { Assists = ZpciAssists.All & ~ZpciAssists.EventNotification });
        Assert.False(without.SetNotificationControls(parameters));
    }

    [Fact]
    public void SetGuestInterruptionBlock_WhileAnotherIsSet_IsRefused()
    {
        Assert.True(_firmware.SetGuestInterruptionBlock(_vector));
        Assert.False(_firmware.SetGuestInterruptionBlock(_summary));
        Assert.True(_firmware.SetGuestInterruptionBlock(0));
        Assert.True(_firmware.SetGuestInterruptionBlock(_summary));
    }

    private ZpciFib Fib(bool summary = true) => new()
    {
        VectorAddress = _vector,
        SummaryAddress = _summary,
        InterruptWord = new ZpciInterruptWord { Subclass = Subclass, Interrupts = 4, VectorOffset = 1, HasSummary = summary, SummaryOffset = 3 }.Value,
    };
}
