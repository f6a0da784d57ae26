using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Interruptions of a zPCI function that reach the guest's memory: by firmware or by the host, past the eventfd.</summary>
public sealed class AdapterInterruptTests : IDisposable
{
    private const ulong Vector = 0x1000;
    private const ulong Summary = 0x2000;
    private const byte Subclass = 3;

    private readonly HypervisorRig _rig = new(new SimulatedVmOptions { ZpciDesignation = 0x1000 });
    private readonly HookRegistration<IZpciVmHook> _installed;
    private readonly FakeFunction _hardware = new();
    private readonly ZpciFunction _function = new(0x23, index: 5);
    private readonly ZpciVfioPciDevice _device;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;
    private readonly ProcessMemory _guest;
    private readonly EventDescriptor _event;

    public AdapterInterruptTests()
    {
        _installed = _rig.Host.Slot<IZpciVmHook>().Install(new ZpciAssociation());
        _guest = ProcessMemory.Allocate(0x4000, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x4000, _guest, 0, false));
        _event = EventDescriptor.Create(_rig.Host.Ledger);
        IommuGroup group = _rig.Host.AddIommuUnit("unit").CreateGroup();
        _device = new ZpciVfioPciDevice("0000:05:00.0", _hardware, group, _function);
        _rig.Host.Register(_device, group);
        _group = _rig.Ready(group);
        _group.SetHypervisor(_rig.Vm);
        _file = _group.OpenDevice(_device.Name);
        _file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.BusMaster | PciCommand.Memory), 0], out _);
        _file.SetIrqs(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Msix,
            Count = 1,
            Events = new EventDescriptor?[] { _event },
        });
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _rig.Host.Unregister(_device);
        _device.Dispose();
        _installed.Dispose();
        _event.Dispose();
        _guest.Release();
        _rig.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Row", "S0-9")]
    public void Vector_RegisteredWithTheGuestAndJoinedByTheBypass_ReachesItsMemoryOncePerClearSummary(bool byHost)
    {
        Assert.Equal(Errno.None, Register(byHost ? KvmS390ZpciAenFlags.Host : KvmS390ZpciAenFlags.None));
        AdapterInterrupts interrupts = Assert.Single(_rig.Vm.Zpci.All).Interrupts!;
        using (new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 0))
        {
            _hardware.Port.SignalVector(0);
            _hardware.Port.SignalVector(0);
            Assert.Equal(0x80, Byte(Vector));
            Assert.Equal(0x80 >> 2, Byte(Summary));
            Assert.Equal(0x80 >> Subclass, _rig.Vm.Gisa.Take());
            Assert.False(_event.TryDrain(out _));

            // The guest clears its summary: the next one interrupts again.
            _guest.Write(Summary, [0]);
            _hardware.Port.SignalVector(0);
            Assert.Equal(0x80 >> Subclass, _rig.Vm.Gisa.Take());
            Assert.Equal(byHost ? 0 : 2, _rig.Vm.Gisa.PostedByFirmware);
            Assert.Equal(byHost ? 2 : 0, _rig.Vm.Gisa.ForwardedByHost);
        }

        _hardware.Port.SignalVector(0);
        Assert.True(_event.TryDrain(out _));
        Assert.Equal(0, _rig.Vm.Gisa.Pending);
    }

    [Fact]
    public void Register_WhatTheGuestGaveIsWrong_ItsErrorAndNothingIsPinned()
    {
        long before = _rig.Host.Ledger.Total;
        Assert.Equal(Errno.EINVAL, Register(vector: 0x1ff8, count: 128));
        Assert.Equal(Errno.EINVAL, Register(summary: Summary + 4));
        Assert.Equal(Errno.EINVAL, Register(count: 0));
        Assert.Equal(Errno.ERANGE, Register(subclass: 8));
        Assert.Equal(Errno.EIO, Register(vector: 0x10_0000));
        Assert.Equal(Errno.EIO, Register(summary: 0x10_0000));
        Assert.Equal(Errno.EINVAL, Operate(new KvmS390ZpciOp { FunctionHandle = _function.Handle, Operation = KvmS390ZpciOperation.DeregisterAen }));
        Assert.Equal(before, _rig.Host.Ledger.Total);
        Assert.Null(Assert.Single(_rig.Vm.Zpci.All).Interrupts);
    }

    [Fact]
    public void Register_Twice_EINVALUntilItIsTakenBack()
    {
        Assert.Equal(Errno.None, Register());
        Assert.Equal(Errno.EINVAL, Register());
        Assert.Equal(Errno.None, Operate(new KvmS390ZpciOp { FunctionHandle = _function.Handle, Operation = KvmS390ZpciOperation.DeregisterAen }));
        Assert.Equal(Errno.None, Register());
    }

    [Fact]
    public void Close_StillRegistered_NothingIsDeliveredOrPinnedAfterwards()
    {
        Assert.Equal(Errno.None, Register());
        AdapterInterrupts interrupts = Assert.Single(_rig.Vm.Zpci.All).Interrupts!;
        using var adapter = new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 1);
        _file.Dispose();
        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.Equal(0, Byte(Vector));
        Assert.Equal(Errno.EINVAL, HypervisorRig.ErrnoOf(() => new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 64).Dispose()));
    }

    private Errno Register(
        KvmS390ZpciAenFlags flags = KvmS390ZpciAenFlags.None, ulong vector = Vector, ulong summary = Summary, uint count = 64, byte subclass = Subclass) =>
        Operate(new KvmS390ZpciOp
        {
            FunctionHandle = _function.Handle,
            InterruptVector = vector,
            SummaryBit = summary,
            SummaryBitOffset = 2,
            Interrupts = count,
            Subclass = subclass,
            Flags = flags,
        });

    private Errno Operate(KvmS390ZpciOp call) => HypervisorRig.VmIoctl(_rig.Vm, KvmRequest.S390ZpciOp, ref call);

    private byte Byte(ulong address)
    {
        byte[] one = new byte[1];
        Assert.Equal(Errno.None, _rig.Vm.Memory.Read(address, one));
        return one[0];
    }
}
