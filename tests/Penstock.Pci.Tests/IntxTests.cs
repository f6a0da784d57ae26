using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

public sealed class IntxTests : IDisposable
{
    private readonly TestDevice _device = TestDevice.Full();
    private readonly EventDescriptor _event = EventDescriptor.Create();

    public void Dispose()
    {
        _device.Close();
        _device.Dispose();
        _event.Dispose();
    }

    [Fact]
    [Trait("Row", "I14")]
    public void Assert_Enabled_SignalsOnceAndUnmaskSignalsAgainWhileHigh()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Port.SetIntx(true);
        Port.SetIntx(true);
        Assert.Equal(1u, _event.Count());

        Port.SetIntx(false);
        Port.SetIntx(true);
        Assert.Equal(0u, _event.Count());

        Irq(VfioIrqSetFlags.ActionUnmask);
        Assert.Equal(1u, _event.Count());
        Port.SetIntx(false);
        Irq(VfioIrqSetFlags.ActionUnmask);
        Assert.Equal(0u, _event.Count());

        Port.SetIntx(true);
        Assert.Equal(1u, _event.Count());
    }

    [Fact]
    public void Enable_WhileHigh_SignalsAtOnce()
    {
        Port.SetIntx(true);
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Assert.Equal(1u, _event.Count());
    }

    [Fact]
    public void StatusBit_FollowsTheLevel_EvenWithThePinDisabled()
    {
        _device.Command = PciCommand.InterruptDisable;
        Port.SetIntx(true);
        Assert.Equal(0x0018u, _device.ReadConfig(PciConfigOffsets.Status, 2));
        Assert.Equal(0x0018_0400u, _device.ReadConfig(PciConfigOffsets.Command, 4));
        Port.SetIntx(false);
        Assert.Equal(0x0010u, _device.ReadConfig(PciConfigOffsets.Status, 2));
    }

    [Fact]
    public void Mask_ByTheUser_HoldsTheSignalBackUntilUnmask()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Irq(VfioIrqSetFlags.ActionMask);
        Port.SetIntx(true);
        Assert.Equal(0u, _event.Count());
        Irq(VfioIrqSetFlags.ActionUnmask);
        Assert.Equal(1u, _event.Count());
    }

    [Fact]
    [Trait("Row", "I16")]
    public void Mask_ByEventfd_IsEnotty()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Assert.Equal(Errno.ENOTTY, ErrnoOf(() => _device.Raw(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionMask,
            Index = VfioIrqs.Intx,
            Count = 1,
            Events = new[] { _event },
        })));
    }

    [Fact]
    [Trait("Row", "I17")]
    public void PinDisabled_ByCommand_SuppressesAllUntilCleared()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        _device.Command = PciCommand.InterruptDisable;
        Port.SetIntx(true);
        Irq(VfioIrqSetFlags.ActionTrigger);
        Irq(VfioIrqSetFlags.ActionUnmask);
        Assert.Equal(0u, _event.Count());

        _device.Command = PciCommand.None;
        Assert.Equal(1u, _event.Count());
    }

    [Fact]
    [Trait("Row", "I18")]
    public void Swap_OfTheEventfd_LeavesTheOldOneSilent()
    {
        using EventDescriptor second = EventDescriptor.Create();
        _device.Bind(VfioIrqs.Intx, 0, _event);
        _device.Bind(VfioIrqs.Intx, 0, second);
        Port.SetIntx(true);
        Irq(VfioIrqSetFlags.ActionTrigger);
        Assert.Equal((0u, 2u), (_event.Count(), second.Count()));
    }

    [Fact]
    [Trait("Row", "I19")]
    public void Swap_ForNone_StaysEnabledAndSilent()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        _device.Bind(VfioIrqs.Intx, 0, [null]);
        Port.SetIntx(true);
        Assert.Equal(0u, _event.Count());

        // Still enabled: a mask is accepted, and a new eventfd is signalled at the next unmask.
        Irq(VfioIrqSetFlags.ActionMask);
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Irq(VfioIrqSetFlags.ActionUnmask);
        Assert.Equal(1u, _event.Count());
    }

    [Fact]
    public void Trigger_BySoftware_SignalsByNoneAndTrueOnly()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Irq(VfioIrqSetFlags.ActionTrigger);
        _device.IrqBools(VfioIrqs.Intx, 0, 1);
        _device.IrqBools(VfioIrqs.Intx, 0, 0);
        Assert.Equal(2u, _event.Count());
    }

    [Fact]
    [Trait("Row", "I7")]
    public void Idle_TakesNothingButAnEventfd()
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Irq(VfioIrqSetFlags.ActionTrigger, 0)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Irq(VfioIrqSetFlags.ActionTrigger)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Irq(VfioIrqSetFlags.ActionMask)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Irq(VfioIrqSetFlags.ActionUnmask)));
    }

    [Fact]
    public void Disable_ByCountZero_EndsIt()
    {
        _device.Bind(VfioIrqs.Intx, 0, _event);
        Irq(VfioIrqSetFlags.ActionTrigger, 0);
        Port.SetIntx(true);
        Assert.Equal(0u, _event.Count());
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Irq(VfioIrqSetFlags.ActionMask)));
    }

    [Fact]
    [Trait("Row", "I24")]
    [Trait("Row", "P24")]
    public void NoPin_HasNoInterrupt()
    {
        using var device = new TestDevice(TestDevice.FullFunction(pin: 0));
        Assert.Equal(0u, device.GetIrqInfo(VfioIrqs.Intx).Count);
        Assert.Equal(0u, device.ReadConfig(PciConfigOffsets.InterruptPin, 1));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => device.Bind(VfioIrqs.Intx, 0, _event)));
    }

    private PciFunctionPort Port => _device.Hardware.Port;

    private void Irq(VfioIrqSetFlags action, int count = 1) => _device.Irq(VfioIrqs.Intx, action, 0, count);
}
