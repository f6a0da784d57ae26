using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>The way of an interruption: by firmware into the guest, or through the host, and what is counted.</summary>
public sealed class DeliveryTests : IDisposable
{
    private readonly OpenFunctionRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S0-8")]
    public void Signal_WithAssist_GuestBitsAndAreaAndNoHostCallback()
    {
        _rig.Vm.Processors.Enter();
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function)));
        Assert.True(_rig.Function.Signal(9));
        Assert.Equal((0x40, 0x20), (_rig.Byte(S390Rig.Vector + 1), _rig.Byte(S390Rig.Summary)));
        Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Gisa.Take());
        Assert.Equal((1L, 0L, 0L, 0L), (_rig.Gisa.PostedByFirmware, _rig.Gisa.ForwardedByHost, _rig.Firmware.Forwarded, _rig.Firmware.Raised));

        // The guest has not cleared its summary, so it will look anyway.
        Assert.True(_rig.Function.Signal(10));
        Assert.Equal(0x60, _rig.Byte(S390Rig.Vector + 1));
        Assert.Equal((0, 1L), ((int)_rig.Gisa.Take(), _rig.Gisa.PostedByFirmware));
        Assert.False(_rig.Function.Signal(64));
        _rig.Vm.Processors.Leave();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "S0-8")]
    public void Signal_WithoutAssistOrNotEligibleNow_HostSetsTheSummaryAndInjects(bool atRegistration)
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function, atRegistration ? KvmS390ZpciAenFlags.Host : KvmS390ZpciAenFlags.None)));
        _rig.Firmware.CanReachGuests = atRegistration;
        Assert.Equal(atRegistration ? 0 : _rig.Gisa.Designation, _rig.Vm.Zpci.All[0].Interrupts!.GaitEntry.Designation);
        int woken = 0;
        _rig.Vm.Processors.Kicked = _ => woken++;
        Assert.True(_rig.Function.Signal(9));
        Assert.Equal((0x40, 0x20), (_rig.Byte(S390Rig.Vector + 1), _rig.Byte(S390Rig.Summary)));
        Assert.Equal((0L, 1L, 1L, 1L), (_rig.Gisa.PostedByFirmware, _rig.Gisa.ForwardedByHost, _rig.Firmware.Forwarded, _rig.Firmware.Raised));
        _rig.Time.Advance(TimeSpan.Zero);
        Assert.Equal(1, woken);
        Assert.Equal(GisaArea.MaskOf(S390Rig.Subclass), _rig.Vm.Processors.Enter());
        _rig.Vm.Processors.Leave();
    }

    [Fact]
    public void Signal_NoSummary_EachInterruptsTheGuest()
    {
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function, summary: 0)));
        Assert.Equal(0ul, _rig.Vm.Zpci.All[0].Interrupts!.GaitEntry.SummaryAddress);
        for (int i = 1; i <= 3; i++)
        {
            Assert.True(_rig.Function.Signal(0));
            Assert.NotEqual(0, _rig.Gisa.Take());
            Assert.Equal(i, _rig.Gisa.PostedByFirmware);
        }

        Assert.Equal(0, _rig.Byte(S390Rig.Summary));
        _rig.Firmware.CanReachGuests = false;
        Assert.True(_rig.Function.Signal(0));
        Assert.NotEqual(0, _rig.Gisa.Take());
        Assert.Equal((0, 1L), ((int)_rig.Byte(0), _rig.Gisa.ForwardedByHost));
    }

    /// <summary>One interruption, then none until the host asks: what comes meanwhile is found by its next look.</summary>
    [Fact]
    [Trait("Row", "S0-8")]
    public void Scan_MoreComesWhileItLooks_IsFoundWithoutAnotherInterruption()
    {
        ZpciVfioPciDevice second = _rig.AddFunction(6);
        using VfioDeviceFile file = _rig.Open(second);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(_rig.Function, KvmS390ZpciAenFlags.Host)));
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(second.Zpci!, KvmS390ZpciAenFlags.Host, vector: 0x3000, summary: 0x4000)));
        var handler = new LateHandler(_rig.S390, () => second.Zpci!.Signal(0));
        _rig.Firmware.SetHandler(_rig.S390.NotificationSubclass, handler);
        Assert.True(_rig.Function.Signal(0));
        Assert.Equal((1, 1L, 2L), (handler.Calls, _rig.Firmware.Raised, _rig.Firmware.Forwarded));
        Assert.Equal(2, _rig.Gisa.ForwardedByHost);
        Assert.Equal(0x20, _rig.Byte(0x4000));

        // And the host is told of the next one.
        Assert.True(_rig.Function.Signal(0));
        Assert.Equal(2, handler.Calls);
        _rig.Gisa.Take();
    }

    [Fact]
    public void Handle_InterruptionNamesSuppressedSubclasses_LooksAtTheAlertListToo()
    {
        int subclass = _rig.S390.NotificationSubclass;
        long before = _rig.S390.AlertPasses;
        _rig.Firmware.Raise(new HostInterrupt(subclass, IsForwarded: true));
        Assert.Equal(before, _rig.S390.AlertPasses);
        _rig.Firmware.Raise(new HostInterrupt(subclass, IsError: true, Suppressed: 0x04));
        Assert.Equal(before + 3, _rig.S390.AlertPasses);
        _rig.Firmware.Raise(new HostInterrupt(subclass));
        Assert.Equal(before + 6, _rig.S390.AlertPasses);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Signal_Many_AllocatesNothing(bool byFirmware)
    {
        using var rig = new OpenFunctionRig(TimeProvider.System);
        ZpciFunction function = rig.Function;
        Assert.Equal(Errno.None, rig.Operate(S390Rig.Call(function, summary: 0)));
        rig.Firmware.CanReachGuests = byFirmware;
        long signals = 0;
        Assert.Equal(0, AllocatedBytes.In(1000, i =>
        {
            signals++;
            function.Signal(i & 63);
            rig.Gisa.Take();
        }));
        Assert.Equal(signals, byFirmware ? rig.Gisa.PostedByFirmware : rig.Gisa.ForwardedByHost);
    }

    /// <summary>Signals on many threads, while the VMM registers and takes back and at last dies: nothing is written where nothing is pinned.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "S0-8")]
    public void Signal_WhileRegisteredTakenBackAndClosed_NothingStaysAndNothingIsLost(bool byFirmware)
    {
        const int Threads = 2;
        const int Rounds = 40;
        using var rig = new OpenFunctionRig();
        rig.Firmware.CanReachGuests = byFirmware;
        ZpciFunction function = rig.Function;
        int stop = 0;
        long delivered = 0;
        Thread[] devices = [.. Enumerable.Range(0, Threads).Select(n => new Thread(() =>
        {
            while (Volatile.Read(ref stop) == 0)
            {
                if (function.Signal(n))
                {
                    Interlocked.Increment(ref delivered);
                }
                else
                {
                    Thread.Yield();
                }
            }
        })
        { IsBackground = true })];
        Array.ForEach(devices, static d => d.Start());
        for (int round = 0; round < Rounds; round++)
        {
            Assert.Equal(Errno.None, rig.Operate(S390Rig.Call(function, summary: round % 2 == 0 ? S390Rig.Summary : 0)));
            long before = Interlocked.Read(ref delivered);
            Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref delivered) != before, HypervisorRig.Patience), $"round {round}: nothing is delivered");
            if (round % 10 == 9)
            {
                rig.Reopen();
            }
            else
            {
                Assert.Equal(Errno.None, rig.Deregister(function));
            }

            // Taken back: the pages are the guest's alone.
            rig.Guest.Span(S390Rig.Vector, 8).Clear();
            rig.Guest.Span(S390Rig.Summary, 8).Clear();
            Thread.Yield();
            Assert.Equal((0, 0), ((int)rig.Byte(S390Rig.Vector), (int)rig.Byte(S390Rig.Summary)));
            rig.Gisa.Take();
            rig.Time.Advance(TimeSpan.FromMilliseconds(1));
            rig.Vm.Processors.Enter();
            rig.Vm.Processors.Leave();
        }

        rig.File.Dispose();
        Volatile.Write(ref stop, 1);
        Array.ForEach(devices, static d => d.Join());
        Assert.Equal((0, 0), (rig.S390.Forwarded, rig.Host.Ledger.Outstanding(ResourceKind.Pin)));
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void ZpciOp_WhileTheFunctionChangesMachines_FindsItsOwnOrSaysWhyNot()
    {
        const int Rounds = 100;
        SimulatedVm other = _rig.AddVm();
        ZpciVfioPciDevice device = _rig.AddFunction(7);
        ZpciFunction function = device.Zpci!;
        int stop = 0;
        long calls = 0;
        var strange = Errno.None;
        var vmm = new Thread(() =>
        {
            while (Volatile.Read(ref stop) == 0)
            {
                Interlocked.Increment(ref calls);
                Errno errno = _rig.Operate(S390Rig.Call(function), other);
                if (errno is not (Errno.None or Errno.ENODEV or Errno.EPERM or Errno.EINVAL))
                {
                    strange = errno;
                }
            }
        })
        { IsBackground = true };
        vmm.Start();
        for (int round = 0; round < Rounds; round++)
        {
            using VfioDeviceFile file = _rig.Open(device, round % 2 == 0 ? other : _rig.Vm);
            if (round % 5 == 0)
            {
                // Not all of it before the other thread has begun.
                long seen = Interlocked.Read(ref calls);
                Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref calls) > seen, HypervisorRig.Patience));
            }
        }

        Volatile.Write(ref stop, 1);
        vmm.Join();
        Assert.Equal(Errno.None, strange);
        Assert.Equal((0, 0), (_rig.S390.Forwarded, _rig.Host.Ledger.Outstanding(ResourceKind.Pin)));
    }

    /// <summary>As the hypervisor's own, but something happens between the interruption and its first look.</summary>
    private sealed class LateHandler(S390Hypervisor hypervisor, Action before) : IHostInterruptHandler
    {
        private bool _done;

        public int Calls { get; private set; }

        public void Handle(in HostInterrupt interrupt)
        {
            Calls++;
            if (!_done)
            {
                _done = true;
                before();
            }

            hypervisor.Handle(interrupt);
        }
    }
}
