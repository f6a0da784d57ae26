using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Interruption state areas, the alert list, and how machines come to look.</summary>
public sealed class GisaTests : IDisposable
{
    private static readonly TimeSpan Kick = TimeSpan.Zero;
    private static readonly TimeSpan Again = TimeSpan.FromMicroseconds(50);

    private readonly S390Rig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S0-8")]
    public void Area_New_IsAtItsPlaceBelowTwoGigabytesAndInNoList()
    {
        Gisa gisa = _rig.Gisa;
        Assert.Equal(0u, gisa.Designation % ZpciGisa.Alignment);
        Assert.InRange(gisa.Designation, 1u, ZpciGisa.AddressLimit - 1);
        Assert.Equal(new GisaWord { NextAlert = gisa.Designation }, gisa.Word);
        Span<byte> bytes = _rig.Firmware.Storage.Bytes(gisa.Designation, ZpciGisa.Length);
        Assert.Equal(gisa.Designation, System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(bytes[ZpciGisa.NextAlert..]));

        gisa.Register(3);
        Assert.Equal(0x10, bytes[ZpciGisa.AlertMask]);
        gisa.SetMode(7, ZpciInterruptionControl.Single);
        Assert.Equal(0x01, bytes[ZpciGisa.SingleMask]);
        gisa.Unregister(3);
        Assert.Equal(0, bytes[ZpciGisa.AlertMask]);
    }

    [Fact]
    public void Register_SubclassCounted_FirstSetsTheMaskAndLastClearsIt()
    {
        Gisa gisa = _rig.Gisa;
        Assert.Equal(_rig.S390.NotificationSubclass, gisa.Register(0));
        gisa.Register(0);
        gisa.Register(7);
        Assert.Equal((0x81, 0x81), (gisa.Wanted, gisa.Word.Alerting));
        gisa.Unregister(0);
        Assert.Equal(0x81, gisa.Word.Alerting);
        gisa.Unregister(0);
        gisa.Unregister(7);
        Assert.Equal((0, 0), (gisa.Wanted, gisa.Word.Alerting));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => gisa.Unregister(7)));
        Assert.Equal(Errno.ERANGE, ErrnoOf(() => gisa.Register(8)));
        Assert.Equal(Errno.ERANGE, ErrnoOf(() => gisa.Unregister(-1)));
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Signal_ProcessorRuns_NoHostInterrupt()
    {
        (ZpciFunction function, VfioDeviceFile file) = Forwarded();
        using (file)
        {
            Assert.Equal(0, _rig.Vm.Processors.Enter());
            long before = _rig.Firmware.Raised;
            Assert.True(function.Signal(0));
            Assert.Equal(before, _rig.Firmware.Raised);
            Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Vm.Processors.Take());
            _rig.Vm.Processors.Leave();
            Assert.Equal((0, 0), (_rig.Gisa.Alerts, _rig.Gisa.Kicks));
        }
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Signal_AllIdle_ExactlyOneAlertAndOneKick()
    {
        (ZpciFunction function, VfioDeviceFile file) = Forwarded();
        using (file)
        {
            int woken = 0;
            _rig.Vm.Processors.Kicked = _ => woken++;
            Assert.True(function.Signal(0));
            Assert.Equal((1, false), (_rig.Gisa.Alerts, _rig.Gisa.IsAlerted));
            Assert.Equal(1, _rig.Firmware.Raised);

            // Out of the list, but nothing alerts from it until its processor has come: more interrupts are no more alerts.
            Assert.Equal(0, _rig.Gisa.Word.Alerting);
            _rig.Guest.Span(S390Rig.Summary, 8).Clear();
            Assert.True(function.Signal(1));
            Assert.Equal(1, _rig.Gisa.Alerts);

            _rig.Time.Advance(Kick);
            Assert.Equal((1, 1), (woken, _rig.Gisa.Kicks));
            _rig.Time.Advance(5 * Again);
            Assert.Equal((1, 1), (woken, _rig.Gisa.Kicks));

            Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Vm.Processors.Enter());
            _rig.Vm.Processors.Leave();
            Assert.Equal(1, _rig.Time.Timers);
            _rig.Time.Advance(Again);
            Assert.Equal((1, 0), (_rig.Gisa.Kicks, _rig.Time.Timers));

            // Restored by the timer: the next one alerts again.
            Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Gisa.Word.Alerting);
            _rig.Guest.Span(S390Rig.Summary, 8).Clear();
            Assert.True(function.Signal(0));
            _rig.Time.Advance(Kick);
            Assert.Equal((2, 2), (_rig.Gisa.Alerts, _rig.Gisa.Kicks));
            _rig.Gisa.Take();
        }
    }

    [Fact]
    public void Leave_PendingNotTaken_AlertsThen()
    {
        (ZpciFunction function, VfioDeviceFile file) = Forwarded();
        using (file)
        {
            _rig.Vm.Processors.Enter();
            _rig.Vm.Processors.Enter();
            Assert.True(function.Signal(0));
            _rig.Vm.Processors.Leave();
            Assert.Equal(0, _rig.Gisa.Alerts);
            _rig.Vm.Processors.Leave();
            Assert.Equal(1, _rig.Gisa.Alerts);
            _rig.Time.Advance(Kick);
            Assert.Equal(1, _rig.Gisa.Kicks);
            _rig.Gisa.Take();
        }
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Signal_TwoMachinesAtOnce_BothKickedAndTheListIsWhole()
    {
        const int Rounds = 100;
        SimulatedVm other = _rig.AddVm();
        (ZpciFunction first, VfioDeviceFile firstFile) = Forwarded();
        (ZpciFunction second, VfioDeviceFile secondFile) = Forwarded(other, index: 6);
        using (firstFile)
        using (secondFile)
        {
            var start = new Barrier(2);
            for (int round = 1; round <= Rounds; round++)
            {
                var device = new Thread(() =>
                {
                    start.SignalAndWait();
                    second.Signal(0);
                });
                device.Start();
                start.SignalAndWait();
                first.Signal(0);
                device.Join();
                _rig.Time.Advance(Kick);
                Assert.Equal((round, round), (_rig.Gisa.Kicks, other.Gisa!.Kicks));
                Assert.False(_rig.Gisa.IsAlerted || other.Gisa.IsAlerted);
                foreach (SimulatedVm vm in new[] { _rig.Vm, other })
                {
                    Assert.NotEqual(0, vm.Processors.Enter());
                    vm.Processors.Leave();
                    _rig.MemoryOf(vm).Span(S390Rig.Summary, 8).Clear();
                }

                _rig.Time.Advance(Again);
            }
        }
    }

    [Fact]
    public void Alerting_AreaInTheList_EBUSYAndSetByTheTimerLater()
    {
        (ZpciFunction function, VfioDeviceFile file) = Forwarded();
        using (file)
        {
            // Nobody handles the interruption: the area stays in the list.
            _rig.Firmware.SetHandler(_rig.S390.NotificationSubclass, null);
            Assert.True(function.Signal(0));
            Assert.True(_rig.Gisa.IsAlerted);
            _rig.Gisa.Register(0);
            Assert.Equal((0x90, 0), (_rig.Gisa.Wanted, _rig.Gisa.Word.Alerting));
            _rig.Firmware.SetHandler(_rig.S390.NotificationSubclass, _rig.S390);
            _rig.Firmware.Raise(new HostInterrupt(_rig.S390.NotificationSubclass));
            Assert.False(_rig.Gisa.IsAlerted);
            _rig.Gisa.Take();
            _rig.Time.Advance(Kick);
            Assert.Equal(0x90, _rig.Gisa.Word.Alerting);
            _rig.Gisa.Unregister(0);
        }
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Suppression_BothMasks_FirmwareAndHostInjectAndCountNothing()
    {
        (ZpciFunction function, VfioDeviceFile file) = Forwarded();
        using (file)
        {
            _rig.Gisa.SetMode(S390Rig.Subclass, ZpciInterruptionControl.Single);
            Assert.True(function.Signal(0));
            Assert.NotEqual(0, _rig.Gisa.Take());

            // One came through; the guest has not asked for the next.
            _rig.Guest.Span(S390Rig.Summary, 8).Clear();
            Assert.True(function.Signal(0));
            Assert.Equal(0, _rig.Gisa.Pending);
            Assert.Equal((1, 1), (_rig.Gisa.PostedByFirmware, _rig.Gisa.Suppressed));
            _rig.Firmware.CanReachGuests = false;
            Assert.True(function.Signal(0));
            Assert.Equal((0, 0L), ((int)_rig.Gisa.Pending, _rig.Gisa.ForwardedByHost));
            Assert.Equal(0x20, _rig.Byte(S390Rig.Summary));

            _rig.Gisa.SetMode(S390Rig.Subclass, ZpciInterruptionControl.Single);
            Assert.True(function.Signal(0));
            Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Gisa.Take());
            Assert.Equal(1, _rig.Gisa.ForwardedByHost);
            _rig.Gisa.SetMode(S390Rig.Subclass, ZpciInterruptionControl.All);
            Assert.True(function.Signal(0));
            Assert.True(function.Signal(0));
            Assert.Equal(3, _rig.Gisa.ForwardedByHost);
            _rig.Gisa.Take();
        }
    }

    [Fact]
    public void SetMode_FormatZero_EOPNOTSUPP()
    {
        using var old = new S390Rig(new ZpciMachine { Assists = ZpciAssists.Interpretation });
        Assert.False(old.Gisa.HasModes);
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => old.Gisa.SetMode(3, ZpciInterruptionControl.Single)));
        Assert.Equal(Errno.ERANGE, ErrnoOf(() => old.Gisa.SetMode(8, ZpciInterruptionControl.All)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => old.Gisa.SetMode(3, ZpciInterruptionControl.Direct)));
    }

    [Fact]
    [Trait("Row", "S0-8")]
    public void Destroy_SubclassStillRegistered_WarnsAndNothingAlerts()
    {
        SimulatedVm other = _rig.AddVm();
        Gisa gisa = other.Gisa!;
        gisa.Register(2);
        other.Dispose();
        Assert.Equal(1, _rig.S390.Warnings);
        Assert.Equal(0, gisa.Wanted);
        Assert.Equal(0, gisa.Take());
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => gisa.Register(2)));
    }

    private (ZpciFunction Function, VfioDeviceFile File) Forwarded(SimulatedVm? vm = null, ushort index = 5)
    {
        ZpciVfioPciDevice device = _rig.AddFunction(index);
        VfioDeviceFile file = _rig.Open(device, vm);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(device.Zpci!), vm));
        return (device.Zpci!, file);
    }
}
