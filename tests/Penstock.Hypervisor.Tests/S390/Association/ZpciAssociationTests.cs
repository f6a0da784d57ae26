using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Functions tied to simulated machines, and the machine's own operations on them.</summary>
public sealed class ZpciAssociationTests : IDisposable
{
    private readonly S390Rig _rig = new();
    private readonly ZpciVfioPciDevice _device;
    private readonly ZpciFunction _function;

    public ZpciAssociationTests()
    {
        _device = _rig.AddFunction();
        _function = _device.Zpci!;
    }

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S0-2")]
    [Trait("Row", "S0-7")]
    public void Register_DeviceOpenedByAMachinesUser_OneTieUntilItIsClosed()
    {
        uint before = _function.Handle;
        using (VfioDeviceFile file = _rig.Open(_device))
        {
            KvmZdev tie = Assert.Single(_rig.Vm.Zpci.All);
            Assert.Same(_device, tie.Device);
            Assert.Same(_rig.Vm, tie.Machine);
            Assert.True(tie.IsInterpreted);
            Assert.Equal((true, _rig.Gisa.Designation), (_function.IsEnabled, _function.Designation));
            Assert.NotEqual(before, _function.Handle);
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Association.Register(_device, _rig.Vm)));
            using VfioDeviceFile again = _rig.Open(_device);
            Assert.Single(_rig.Vm.Zpci.All);
        }

        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.Equal((true, 0u), (_function.IsEnabled, _function.Designation));
        Assert.NotEqual(before, _function.Handle);
    }

    [Theory]
    [InlineData(3931, ZpciAssists.All & ~ZpciAssists.LoadStore)]
    [InlineData(3931, ZpciAssists.All & ~ZpciAssists.Suppression)]
    [InlineData(3931, ZpciAssists.All & ~ZpciAssists.SuppressionInitiation)]
    [InlineData(3931, ZpciAssists.All & ~ZpciAssists.EventNotification)]
    [InlineData(2817, ZpciAssists.All)]
    [InlineData(2818, ZpciAssists.All)]
    [InlineData(2827, ZpciAssists.All)]
    [InlineData(2828, ZpciAssists.All)]
    [InlineData(2964, ZpciAssists.All)]
    [InlineData(2965, ZpciAssists.All)]
    [Trait("Row", "S0-2")]
    [Trait("Row", "S0-7")]
    public void Register_MachineThatNeverInterprets_TiedWithTheHandleItHas(int type, ZpciAssists assists)
    {
        using var rig = new S390Rig(new ZpciMachine { Type = type, Assists = assists });
        ZpciVfioPciDevice device = rig.AddFunction();
        AssertTiedOnly(rig, device, rig.Vm);
    }

    [Fact]
    [Trait("Row", "S0-2")]
    public void Register_NoFirmwareOrNoS390Host_TiedWithTheHandleItHas()
    {
        AssertTiedOnly(_rig, _rig.AddFunction(index: 6, hasFirmware: false), _rig.Vm);
        using SimulatedVm plain = new SimulatedKvm(_rig.Host).CreateVm();
        AssertTiedOnly(_rig, _device, plain);
    }

    [Theory]
    [InlineData(3906, ZpciAssists.All)]
    [InlineData(3931, ZpciAssists.Interpretation)]
    [Trait("Row", "S0-7")]
    public void Register_MachineThatInterprets_SwitchesItsProcessorsOnceAndNeverBack(int type, ZpciAssists assists)
    {
        using var rig = new S390Rig(new ZpciMachine { Type = type, Assists = assists });
        ZpciVfioPciDevice device = rig.AddFunction();
        Assert.Equal(ZpciExecutionControls.None, rig.Vm.Processors.Controls);
        rig.Open(device).Dispose();
        Assert.Equal(ZpciExecutionControls.All, rig.Vm.Processors.Controls);
        rig.Open(device).Dispose();
        Assert.Equal(ZpciExecutionControls.All, rig.Vm.Processors.Controls);
    }

    [Fact]
    [Trait("Row", "S0-7")]
    public void Register_ProcessorsRunTheGuest_AreOutOfItWhileTheModeChanges()
    {
        GuestProcessors processors = _rig.Vm.Processors;
        using var inside = new ManualResetEventSlim();
        var left = ZpciExecutionControls.All;
        var entered = ZpciExecutionControls.None;
        var processor = new Thread(() =>
        {
            processors.Enter();
            inside.Set();
            while (!processors.IsExitRequested)
            {
                Thread.Sleep(1);
            }

            left = processors.Controls;
            processors.Leave();
            processors.Enter();
            entered = processors.Controls;
            processors.Leave();
        });
        processor.Start();
        inside.Wait();
        using VfioDeviceFile file = _rig.Open(_device);
        processor.Join();
        Assert.Equal((ZpciExecutionControls.None, ZpciExecutionControls.All), (left, entered));
    }

    [Theory]
    [InlineData(ZpciSetOperation.Disable)]
    [InlineData(ZpciSetOperation.Enable)]
    [Trait("Row", "S2-7")]
    public void Register_FirmwareRefuses_OpenFailsWithTheErrorAndNothingIsLeft(ZpciSetOperation refused)
    {
        int refusals = 1;
        _rig.Firmware.SetFault = (_, o) => o == refused && refusals-- > 0 ? ZpciClpResponse.RecoveryPending : null;
        Assert.Equal(Errno.EIO, ErrnoOf(() => _rig.Open(_device)));
        AssertTheHosts();

        // As if nothing had been, with a machine and without.
        _rig.Open(_device).Dispose();
        _rig.OpenWithoutMachine(_device).Dispose();
    }

    [Theory]
    [InlineData(ZpciModifyOperation.RegisterInterrupts)]
    [InlineData(ZpciModifyOperation.RegisterIoat)]
    [Trait("Row", "S2-7")]
    public void Register_HostsRegistrationsCannotBeMadeAgain_OpenFailsAndTheHostHasThem(ZpciModifyOperation refused)
    {
        Errno host = UseByHost();
        Assert.Equal(Errno.None, host);
        int refusals = 1;
        _rig.Firmware.ModifyFault = (_, o) => o == refused && refusals-- > 0 ? new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.InsufficientResources) : null;
        Assert.Equal(Errno.EIO, ErrnoOf(() => _rig.Open(_device)));
        AssertTheHosts();
        Assert.Equal((true, 0x804ul), (_function.HasInterrupts, _function.Iota));
        _function.EndHostInterrupts();
    }

    [Theory]
    [InlineData(ZpciConditionCode.InvalidHandle, ZpciStatus.None)]
    [InlineData(ZpciConditionCode.Error, ZpciStatus.ErrorRecovery)]
    public void Register_TranslationWhileTheFunctionIsBeingRecovered_CountsAsDone(ZpciConditionCode condition, ZpciStatus status)
    {
        Assert.Equal(Errno.None, UseByHost());
        _rig.Firmware.ModifyFault = (_, o) => o == ZpciModifyOperation.RegisterIoat ? new ZpciAnswer(condition, status) : null;
        using VfioDeviceFile file = _rig.Open(_device);
        Assert.True(Assert.Single(_rig.Vm.Zpci.All).IsInterpreted);
        _function.EndHostInterrupts();
    }

    [Fact]
    [Trait("Row", "S0-7")]
    public void Register_HostUsesVectorsAndTables_AreRegisteredInOrderUnderTheMachine()
    {
        Assert.Equal(Errno.None, UseByHost());
        List<string> asked = [];
        _rig.Firmware.SetFault = (f, o) => { asked.Add($"{o} {f.Designation != 0}"); return null; };
        _rig.Firmware.ModifyFault = (f, o) => { asked.Add($"{o} {f.Designation != 0}"); return null; };
        using (VfioDeviceFile file = _rig.Open(_device))
        {
            Assert.Equal(["Disable False", "Enable False", "RegisterInterrupts True", "RegisterIoat True"], asked);
            asked.Clear();
        }

        Assert.Equal(["Disable False", "Enable False", "RegisterInterrupts False", "RegisterIoat False"], asked);
        _rig.RefuseNothing();
        _function.EndHostInterrupts();
    }

    [Fact]
    [Trait("Row", "S0-20")]
    public void Unregister_FirmwareDoesNotDisable_StopsThereAndTheTieIsGone()
    {
        VfioDeviceFile file = _rig.Open(_device);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_function)));
        uint handle = _function.Handle;
        _rig.Refuse(ZpciSetOperation.Disable);
        file.Dispose();
        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.Equal((handle, 0u), (_function.Handle, _function.Designation));
        Assert.Equal((0, 0), (_rig.S390.Forwarded, _rig.Host.Ledger.Outstanding(ResourceKind.Pin)));
        _rig.RefuseNothing();
        _rig.Open(_device).Dispose();
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void ZpciOp_HandleOfNoneOrOfAnotherMachine_ENODEV()
    {
        SimulatedVm other = _rig.AddVm();
        uint before = _function.Handle;
        using VfioDeviceFile file = _rig.Open(_device);
        Assert.Equal(Errno.ENODEV, _rig.Operate(new KvmS390ZpciOp { FunctionHandle = 0 }));
        Assert.Equal(Errno.ENODEV, _rig.Operate(new KvmS390ZpciOp { FunctionHandle = before }));
        Assert.Equal(Errno.ENODEV, _rig.Operate(S390Rig.Call(_function), other));
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_function)));
        Assert.Equal(Errno.ENODEV, _rig.Deregister(_function, other));
        Assert.NotNull(Assert.Single(_rig.Vm.Zpci.All).Interrupts);
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void ZpciOp_UnknownOperationOrFlag_EINVAL()
    {
        using VfioDeviceFile file = _rig.Open(_device);
        uint handle = _function.Handle;
        Assert.Equal(Errno.EINVAL, _rig.Operate(new KvmS390ZpciOp { FunctionHandle = handle, Operation = (KvmS390ZpciOperation)2 }));
        Assert.Equal(Errno.EINVAL, _rig.Operate(S390Rig.Call(_function, (KvmS390ZpciAenFlags)2)));
        Assert.Equal(Errno.ENODEV, _rig.Operate(new KvmS390ZpciOp { FunctionHandle = handle + 1, Operation = (KvmS390ZpciOperation)2 }));
    }

    [Fact]
    [Trait("Row", "S2-1")]
    public void Register_NoMachineOrStrangeOrDyingOne_EINVALAndNothingIsLeft()
    {
        uint before = _function.Handle;
        SimulatedVm dead = _rig.AddVm();
        dead.Dispose();
        foreach (IHypervisor? machine in new IHypervisor?[] { null, new StrangeMachine(), dead })
        {
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Association.Register(_device, machine!)));
        }

        Assert.Equal(before, _function.Handle);
        _rig.Open(_device).Dispose();
    }

    [Fact]
    [Trait("Row", "S0-2")]
    public void Unregister_NotTied_DoesNothing()
    {
        uint before = _function.Handle;
        _rig.Association.Unregister(_device);
        Assert.Equal(before, _function.Handle);
    }

    /// <summary>The VMM dies: nobody takes anything back, files are closed in whatever order the kernel likes.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "S0-20")]
    public void VmmDies_StillForwarding_NothingIsPinnedAndTheFunctionIsTheHosts(bool machineFirst)
    {
        SimulatedVm vm = _rig.AddVm();
        VfioDeviceFile file = _rig.Open(_device, vm);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_function), vm));
        if (machineFirst)
        {
            vm.Dispose();
            Assert.False(vm.IsDestroyed);
            file.Dispose();
        }
        else
        {
            file.Dispose();
            vm.Dispose();
        }

        Assert.True(vm.IsDestroyed);
        Assert.Equal((0, 0), (_rig.S390.Forwarded, _rig.Host.Ledger.Outstanding(ResourceKind.Pin)));
        Assert.Equal(0, _rig.S390.Warnings);
        AssertTheHosts();
        Assert.False(_function.Signal(0));
    }

    private static void AssertTiedOnly(S390Rig rig, ZpciVfioPciDevice device, SimulatedVm vm)
    {
        ZpciFunction function = device.Zpci!;
        uint before = function.Handle;
        using (VfioDeviceFile file = rig.Open(device, vm))
        {
            Assert.False(Assert.Single(vm.Zpci.All).IsInterpreted);
            Assert.Equal((before, 0u), (function.Handle, function.Designation));
            Assert.Equal(Errno.EINVAL, rig.Operate(S390Rig.Call(function), vm));
            Assert.Equal(Errno.EINVAL, rig.Deregister(function, vm));
            Assert.Equal(ZpciExecutionControls.None, vm.Processors.Controls);
        }

        Assert.Empty(vm.Zpci.All);
        Assert.Equal(before, function.Handle);
    }

    /// <summary>The host has vectors of its own in use, and tables.</summary>
    private Errno UseByHost()
    {
        uint place = _rig.Firmware.Storage.Allocate(64, 64);
        Assert.Equal(ZpciConditionCode.Done, _function.RegisterIoat(0, 0xffff_ffff, 0x804).ConditionCode);
        return _function.UseHostInterrupts(new ZpciFib
        {
            VectorAddress = place,
            SummaryAddress = place + 32,
            InterruptWord = new ZpciInterruptWord { Subclass = 2, Interrupts = 4, HasSummary = true }.Value,
        });
    }

    private void AssertTheHosts()
    {
        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.Equal((true, 0u), (_function.IsEnabled, _function.Designation));
        Assert.False(_device.IsOpen);
    }

    private sealed class StrangeMachine : IHypervisor
    {
        public bool TryAcquire() => true;

        public void Release()
        {
        }
    }
}
