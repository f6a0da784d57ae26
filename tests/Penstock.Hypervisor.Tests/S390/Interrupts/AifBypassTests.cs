using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Adapter interruption forwarding as a consumer of the interrupt bypass, beside the s390 interface: past the eventfd into the guest's memory.</summary>
public sealed class AifBypassTests : IDisposable
{
    private readonly S390Rig _rig = new();
    private readonly FakeFunction _hardware = new();
    private readonly ZpciVfioPciDevice _device;
    private readonly VfioDeviceFile _file;
    private readonly EventDescriptor _event;

    public AifBypassTests()
    {
        _event = EventDescriptor.Create(_rig.Host.Ledger);
        _device = _rig.AddFunction(hardware: _hardware);
        _file = _rig.Open(_device);
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
        _event.Dispose();
        _rig.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Row", "S0-9")]
    public void Vector_RegisteredWithTheGuestAndJoinedByTheBypass_ReachesItsMemoryPastTheEventfd(bool byHost)
    {
        AdapterInterrupts interrupts = Register(byHost ? KvmS390ZpciAenFlags.Host : KvmS390ZpciAenFlags.None);
        using (new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 0))
        {
            _hardware.Port.SignalVector(0);
            _hardware.Port.SignalVector(0);
            Assert.Equal(0x80, _rig.Byte(S390Rig.Vector));
            Assert.Equal(0x80 >> 2, _rig.Byte(S390Rig.Summary));
            Assert.Equal(0x80 >> S390Rig.Subclass, _rig.Gisa.Take());
            Assert.False(_event.TryDrain(out _));

            // The guest clears its summary: the next one interrupts again. The host does not look at it, firmware does.
            _rig.Guest.Write(S390Rig.Summary, [0]);
            _hardware.Port.SignalVector(0);
            Assert.Equal(0x80 >> S390Rig.Subclass, _rig.Gisa.Take());
            Assert.Equal(byHost ? 0 : 2, _rig.Gisa.PostedByFirmware);
            Assert.Equal(byHost ? 3 : 0, _rig.Gisa.ForwardedByHost);
        }

        _hardware.Port.SignalVector(0);
        Assert.True(_event.TryDrain(out _));
        Assert.Equal(0, _rig.Gisa.Pending);
    }

    [Fact]
    [Trait("Row", "S0-9")]
    public void Adapter_BeforeTheProducerOrTwice_ConnectsInEitherOrderAndOnlyOnce()
    {
        AdapterInterrupts interrupts = Register();
        _file.SetIrqs(new VfioIrqRequest { Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Index = VfioIrqs.Msix });
        using var adapter = new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 3);
        Assert.Null(adapter.Producer);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 0).Dispose()));
        _file.SetIrqs(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Msix,
            Count = 1,
            Events = new EventDescriptor?[] { _event },
        });
        Assert.NotNull(adapter.Producer);
        _hardware.Port.SignalVector(0);
        Assert.Equal(0x80 >> 3, _rig.Byte(S390Rig.Vector));
        Assert.False(_event.TryDrain(out _));
        _rig.Gisa.Take();
    }

    [Fact]
    [Trait("Row", "S0-9")]
    public void Adapter_RegistrationTakenBackFirst_DeliversNothingAndNeedsNoOrder()
    {
        AdapterInterrupts interrupts = Register();
        using var adapter = new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 0);
        Assert.Equal(Errno.None, _rig.Deregister(_device.Zpci!));
        _hardware.Port.SignalVector(0);
        Assert.Equal((0, 0), (_rig.Byte(S390Rig.Vector), _rig.Gisa.Pending));

        // A new registration of the same function is not the adapter's.
        Assert.NotSame(interrupts, Register());
        _hardware.Port.SignalVector(0);
        Assert.Equal((0, 0), (_rig.Byte(S390Rig.Vector), _rig.Gisa.Pending));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => new AifBypassAdapter(_rig.Host.IrqBypass, _event, interrupts, vector: 64).Dispose()));
    }

    private AdapterInterrupts Register(KvmS390ZpciAenFlags flags = KvmS390ZpciAenFlags.None)
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_device.Zpci!, flags)));
        return Assert.Single(_rig.Vm.Zpci.All).Interrupts!;
    }
}
