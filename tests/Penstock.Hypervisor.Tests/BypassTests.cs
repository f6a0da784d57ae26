using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Hypervisor.Tests;

/// <summary>Interrupts of a device on their way to a machine.</summary>
public sealed class BypassTests : IDisposable
{
    private const uint Gsi = 100;

    private readonly EventDescriptor _event = EventDescriptor.Create();
    private readonly EventDescriptor _second = EventDescriptor.Create();

    public void Dispose()
    {
        _event.Dispose();
        _second.Dispose();
    }

    [Theory]
    [InlineData(true, VfioIrqs.Msix)]
    [InlineData(false, VfioIrqs.Msix)]
    [InlineData(true, VfioIrqs.Msi)]
    [Trait("Row", "S0-9")]
    public void Vector_JoinedInEitherOrder_ReachesTheMachineWithoutTheEventfd(bool deviceFirst, int index)
    {
        using var rig = new PciRig();
        rig.Vm.Interrupts.Route(Gsi, new InterruptMessage(1, 2));

        // The two sides have different descriptors of one eventfd.
        using EventDescriptor mine = _event.Duplicate();
        if (deviceFirst)
        {
            rig.Bind(index, VfioIrqSetFlags.ActionTrigger, _event);
            rig.Vm.Irqfds.Assign(mine, Gsi);
        }
        else
        {
            rig.Vm.Irqfds.Assign(mine, Gsi);
            rig.Bind(index, VfioIrqSetFlags.ActionTrigger, _event);
        }

        rig.Function.Port.SignalVector(0);
        Assert.Equal(1ul, rig.Vm.Interrupts.Delivered(Gsi));
        Assert.Equal((1L, 0L), (rig.Vm.Irqfds.DeliveredByBypass, rig.Vm.Irqfds.DeliveredByEventfd));

        // Somebody else's signal still arrives.
        mine.Signal();
        Assert.True(rig.Vm.Interrupts.WaitDelivered(Gsi, 2, HypervisorRig.Patience));
        Assert.Equal(1L, rig.Vm.Irqfds.DeliveredByEventfd);

        // Each side goes by itself; then the eventfd carries the interrupts again.
        rig.Vm.Irqfds.Deassign(mine, Gsi);
        rig.Function.Port.SignalVector(0);
        Assert.True(_event.TryDrain(out _));
        rig.Bind(index, VfioIrqSetFlags.ActionTrigger, (EventDescriptor?)null);
        Assert.Equal(0, rig.Machine.Host.IrqBypass.Producers);
        Assert.Empty(rig.Machine.Log);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "B3")]
    [Trait("Row", "S0-9")]
    public void Join_MachineRefuses_InterruptsArriveByTheEventfd(bool deviceFirst)
    {
        using var rig = new PciRig(new SimulatedVmOptions { RefusesBypass = true });
        rig.Vm.Interrupts.Route(Gsi, new InterruptMessage(1, 2));
        if (deviceFirst)
        {
            rig.Bind(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, _event);
            rig.Vm.Irqfds.Assign(_event, Gsi);
        }
        else
        {
            rig.Vm.Irqfds.Assign(_event, Gsi);
            rig.Bind(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, _event);
        }

        // The registration that came second got the error and is absent; it is only logged. The first is as it was.
        Assert.Single(rig.Machine.Log);
        Assert.Contains("EIO", rig.Machine.Log[0], StringComparison.Ordinal);
        Assert.Equal(deviceFirst ? (1, 0) : (0, 1), (rig.Machine.Host.IrqBypass.Producers, rig.Machine.Host.IrqBypass.Consumers));
        rig.Function.Port.SignalVector(0);
        Assert.True(rig.Vm.Interrupts.WaitDelivered(Gsi, 1, HypervisorRig.Patience));
        Assert.Equal((0L, 1L), (rig.Vm.Irqfds.DeliveredByBypass, rig.Vm.Irqfds.DeliveredByEventfd));
    }

    [Fact]
    public void Vectors_SameEventfdOnTwo_SecondWorksByTheEventfd()
    {
        using var rig = new PciRig();
        rig.Bind(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, _event, _event, _second);
        Assert.Equal(2, rig.Machine.Host.IrqBypass.Producers);
        Assert.Single(rig.Machine.Log);
        rig.Vm.Interrupts.Route(Gsi, new InterruptMessage(1, 2));
        rig.Vm.Irqfds.Assign(_event, Gsi);
        rig.Function.Port.SignalVector(0);
        rig.Function.Port.SignalVector(1);
        Assert.True(rig.Vm.Interrupts.WaitDelivered(Gsi, 2, HypervisorRig.Patience));
        Assert.Equal(1L, rig.Vm.Irqfds.DeliveredByBypass);
    }

    [Fact]
    [Trait("Row", "B14")]
    public void Intx_TriggerAndUnmaskPairedWithTheMachine_InterruptsRunWithoutTheVmm()
    {
        const uint Pin = 10;
        using var rig = new PciRig();
        rig.Vm.Irqfds.Assign(_event, Pin, _second);
        rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionTrigger, _event);
        rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask, _second);
        Assert.Equal(0, rig.Machine.Host.IrqBypass.Producers);

        rig.Function.Port.SetIntx(true);
        Assert.True(rig.Vm.Interrupts.WaitDelivered(Pin, 1, HypervisorRig.Patience));
        rig.Function.Port.SetIntx(false);
        rig.Vm.Interrupts.EndOfInterrupt(Pin);
        rig.Function.Port.SetIntx(true);
        Assert.True(rig.Vm.Interrupts.WaitDelivered(Pin, 2, HypervisorRig.Patience));

        // Still high at the end of interrupt: it interrupts again.
        rig.Vm.Interrupts.EndOfInterrupt(Pin);
        Assert.True(rig.Vm.Interrupts.WaitDelivered(Pin, 3, HypervisorRig.Patience));
        rig.Function.Port.SetIntx(false);
        rig.Vm.Interrupts.EndOfInterrupt(Pin);
        Assert.Equal(3ul, rig.Vm.Interrupts.Delivered(Pin));
    }

    [Fact]
    public void Unmask_ByASecondEventfd_EBUSYUntilTheFirstIsTakenAway()
    {
        using var rig = new PciRig();
        rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionTrigger, _event);
        rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask, _second);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask, _second)));
        rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask, (EventDescriptor?)null);
        rig.Bind(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask, _second);
        rig.Function.Port.SetIntx(true);
        Assert.True(_event.TryDrain(out _));
        _second.Signal();
        Assert.True(SpinWait.SpinUntil(() => _event.TryDrain(out _), HypervisorRig.Patience));
    }

    [Fact]
    public void Vectors_FiredWhileSidesComeAndGo_NoneIsLost()
    {
        using var rig = new PciRig();
        rig.Vm.Interrupts.Route(Gsi, new InterruptMessage(1, 2));
        rig.Bind(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, _event);
        const int Rounds = 300;
        long shots = 0;
        bool stop = false;
        var shooter = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                rig.Function.Port.SignalVector(0);
                Interlocked.Increment(ref shots);
            }
        })
        { IsBackground = true };
        shooter.Start();
        ulong counted = 0;
        for (int round = 0; round < Rounds; round++)
        {
            rig.Vm.Irqfds.Assign(_event, Gsi);
            if (round % 30 == 0)
            {
                // The second from now begins with both sides there.
                long seen = Interlocked.Read(ref shots);
                Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref shots) >= seen + 2, HypervisorRig.Patience), "nobody shoots");
            }

            rig.Vm.Irqfds.Deassign(_event, Gsi);
            counted += _event.TryDrain(out ulong some) ? some : 0;
        }

        Volatile.Write(ref stop, true);
        shooter.Join();
        counted += _event.TryDrain(out ulong rest) ? rest : 0;

        Assert.Equal(shots, rig.Vm.Irqfds.DeliveredByBypass + rig.Vm.Irqfds.DeliveredByEventfd + (long)counted);
        Assert.True(rig.Vm.Irqfds.DeliveredByBypass >= Rounds / 30, $"{rig.Vm.Irqfds.DeliveredByBypass} by bypass");
    }
}
