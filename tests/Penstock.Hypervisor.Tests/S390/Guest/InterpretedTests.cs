using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>Functions whose instructions firmware serves by itself.</summary>
public sealed class InterpretedTests : IDisposable
{
    private const uint Designation = 0x1000;

    private readonly ZpciGuestRig _rig = new(Designation);
    private readonly FakeFunction _hardware = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S0-7")]
    public void Plug_MachineThatInterprets_HostsHandleWithoutEnableBit()
    {
        ZpciFunction zpci = _rig.HostFunction(5, 0x123);
        ZpciGuestFunction function = _rig.Plug(_hardware, zpci);
        Assert.True(function.IsInterpreted);
        Assert.Equal(zpci.Handle & ~ZpciHandle.Enabled, function.Handle);
        Assert.Equal(0u, function.Handle & ZpciHandle.HypervisorMask);
        Assert.Equal(0, function.Group.Id);
    }

    [Fact]
    public void Plug_RelaxedTranslation_GroupOffersItWhileAllOfItsFunctionsMay()
    {
        ZpciGuestFunction first = _rig.PlugEnabled(_hardware, _rig.HostFunction(5, 0x123), relaxed: true);
        Assert.True(first.IsInterpreted);
        Assert.Equal(ZpciClpQueryGroupResponse.RelaxedTranslation | ZpciClpQueryGroupResponse.Refresh, _rig.Bus.FindGroup(0)!.Answer.Flags);
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(first, ZpciModifyOperation.RegisterIoat, ControlsTests.Ioat(iota: 0)).ConditionCode);
        ZpciGuestFunction second = _rig.Plug(zpci: _rig.HostFunction(6, 0x124), relaxed: false);
        Assert.Equal(first.Group.Id, second.Group.Id);
        Assert.Equal(ZpciClpQueryGroupResponse.Refresh, _rig.Bus.FindGroup(0)!.Answer.Flags);
    }

    [Fact]
    [Trait("Row", "S0-7")]
    public void Access_Interpreted_NoExits()
    {
        ZpciGuestFunction function = _rig.PlugEnabled(_hardware, _rig.HostFunction(5, 0x123));
        var processor = new ZpciProcessor(_rig.Bus);
        for (ulong i = 0; i < 100; i++)
        {
            Assert.Equal(ZpciConditionCode.Done, processor.Store(2, ZpciGuestRig.Request(function, 0, 8), i * 8, i << 32).ConditionCode);
            Assert.Equal(i << 32, processor.Load(2, ZpciGuestRig.Request(function, 0, 8), i * 8).Value);
        }

        _rig.Memory.Span(0x1000, 64).Fill(0x5a);
        Assert.Equal(ZpciConditionCode.Done, processor.StoreBlock(ZpciGuestRig.Request(function, 0, 64), 0x800, 0x1000).ConditionCode);
        Assert.Equal(0x5a5a_5a5a_5a5a_5a5aul, processor.Load(2, ZpciGuestRig.Request(function, 0, 8), 0x838).Value);
        Assert.Equal((0, 0, 202), (function.Exits, processor.Exits, processor.Interpreted));

        // Configuration space is the VMM's, and what firmware does not accept is explained by the VMM.
        Assert.Equal(0x361b_1000ul, processor.Load(2, ZpciGuestRig.Request(function, 15, 4), 0).Value);
        Assert.Equal(ZpciProgramException.Operand, processor.Load(2, ZpciGuestRig.Request(function, 0, 9), 0).Exception);
        Assert.Equal(ZpciProgramException.Specification, processor.StoreBlock(ZpciGuestRig.Request(function, 0, 64), 0x804, 0x1000).Exception);
        Assert.Equal((3, 3), (function.Exits, processor.Exits));
    }

    [Fact]
    [Trait("Row", "S0-7")]
    public void Access_InterpretationSwitchedOffByTheVmm_AllLeaveTheGuest()
    {
        ZpciGuestFunction function = _rig.PlugEnabled(_hardware, interpret: false);
        Assert.False(function.IsInterpreted);
        Assert.Equal(ZpciHandle.InterceptedDevice, function.Handle & ZpciHandle.HypervisorMask);
        var processor = new ZpciProcessor(_rig.Bus);
        for (int i = 0; i < 100; i++)
        {
            processor.Load(2, ZpciGuestRig.Request(function, 0, 8), 0);
        }

        Assert.Equal((100, 100, 0), (function.Exits, processor.Exits, processor.Interpreted));
    }

    [Fact]
    public void Enable_HostMadeTheHandleAnew_GuestGetsTheNewOne()
    {
        ZpciFunction zpci = _rig.HostFunction(5, 0x123);
        ZpciGuestFunction function = _rig.Plug(_hardware, zpci);
        uint before = function.Handle;
        zpci.Disable();
        Assert.Equal(ZpciClpResponse.InvalidHandle, _rig.Set(function, ZpciSetOperation.Enable));
        zpci.Enable(Designation);
        Assert.Equal(ZpciClpResponse.Ok, _rig.Set(function, ZpciSetOperation.Enable));
        Assert.Equal(zpci.Handle, function.Handle);
        Assert.NotEqual(before | ZpciHandle.Enabled, function.Handle);
    }

    [Fact]
    public void Plug_HostsIndexInUse_EINVAL()
    {
        _rig.Plug(zpci: _rig.HostFunction(5, 0x123));
        using Penstock.Vfio.VfioDeviceFile file = _rig.Open(zpci: _rig.HostFunction(6, 0x123));
        Assert.Equal(Interop.Errno.EINVAL, ErrnoOf(() => _rig.Bus.Plug(file)));
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void Interrupts_RegisteredByTheGuest_AreTheHypervisors()
    {
        ZpciGuestFunction function = _rig.PlugEnabled(_hardware, _rig.HostFunction(5, 0x123));
        KvmZdev tie = Assert.Single(_rig.Machine.Vm.Zpci.All);
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, Fib()).ConditionCode);
        Assert.NotNull(tie.Interrupts);
        Assert.True(function.HasInterrupts);
        Assert.Equal(ZpciStatus.SequenceError, _rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, Fib()).Status);
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(function, ZpciModifyOperation.DeregisterInterrupts).ConditionCode);
        Assert.Null(tie.Interrupts);
        Assert.Equal(ZpciStatus.SequenceError, _rig.Modify(function, ZpciModifyOperation.DeregisterInterrupts).Status);
    }

    [Fact]
    public void Interrupts_OffsetIntoTheVector_RefusedSinceTheCallHasNoPlaceForIt()
    {
        ZpciGuestFunction function = _rig.PlugEnabled(_hardware, _rig.HostFunction(5, 0x123));
        Assert.Equal(ZpciStatus.ResourceNotAvailable, _rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, ControlsTests.Interrupts()).Status);
        Assert.False(function.HasInterrupts);
    }

    [Theory]
    [InlineData("disable")]
    [InlineData("deconfigure")]
    [InlineData("reset")]
    [InlineData("remove")]
    [InlineData("fail")]
    public void Interrupts_GuestDoesNotTakeThemBack_GoneWithTheFunctionsUse(string how)
    {
        ZpciGuestFunction function = _rig.PlugEnabled(_hardware, _rig.HostFunction(5, 0x123));
        KvmZdev tie = Assert.Single(_rig.Machine.Vm.Zpci.All);
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, Fib()).ConditionCode);
        switch (how)
        {
            case "disable":
                _rig.Set(function, ZpciSetOperation.Disable);
                break;
            case "deconfigure":
                _rig.Bus.Deconfigure(function.FunctionId);
                break;
            case "reset":
                _rig.Bus.SystemReset();
                break;
            case "remove":
                function.Dispose();
                break;
            default:
                function.FailPermanently();
                break;
        }

        Assert.Null(tie.Interrupts);
        Assert.False(function.HasInterrupts);
    }

    private static ZpciFib Fib()
    {
        ZpciFib fib = ControlsTests.Interrupts();
        fib.InterruptWord = (new ZpciInterruptWord(fib.InterruptWord) with { VectorOffset = 0 }).Value;
        return fib;
    }
}
