using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Machines whose processors sleep until they are kicked, devices that interrupt them all the time, and machines that die.</summary>
public sealed class AlertStressTests
{
    private const int Machines = 3;
    private const int Signals = 4000;

    [Theory]
    [InlineData(KvmS390ZpciAenFlags.None)]
    [InlineData(KvmS390ZpciAenFlags.Host)]
    [Trait("Row", "S0-8")]
    public void Signal_ManyMachinesThatSleep_NoInterruptionIsLost(KvmS390ZpciAenFlags flags)
    {
        using var rig = new S390Rig(time: TimeProvider.System);
        SleepyGuest[] guests = [.. Enumerable.Range(0, Machines).Select(n => new SleepyGuest(rig, (ushort)(n + 1), flags))];
        var devices = guests.SelectMany(static g => new[] { g, g }).Select((g, n) => new Thread(() =>
        {
            for (int i = 0; i < Signals; i++)
            {
                Assert.True(g.Function.Signal((n + i) & 63));
                if ((i & 255) == 0)
                {
                    Thread.Sleep(1);
                }
            }
        })
        { IsBackground = true }).ToArray();
        Array.ForEach(devices, static d => d.Start());
        Array.ForEach(devices, static d => d.Join());

        // Whatever order it was: the last kick comes, and the processor finds everything.
        Assert.All(guests, static g => Assert.True(SpinWait.SpinUntil(() => g.IsQuiet, HypervisorRig.Patience), "an interruption stays pending"));
        foreach (SleepyGuest guest in guests)
        {
            Assert.True(guest.Taken > 0);
            Assert.Equal(flags == KvmS390ZpciAenFlags.None, guest.Machine.Gisa!.PostedByFirmware != 0);
            Assert.Equal(flags == KvmS390ZpciAenFlags.Host, guest.Machine.Gisa.ForwardedByHost != 0);
            guest.Dispose();
        }
    }

    /// <summary>The machine and its open device go while signals are on their way and its area may be in the alert list.</summary>
    [Fact]
    [Trait("Row", "S0-20")]
    public void MachineDies_SignalsOnTheirWay_TheOthersGoOnAndNothingStays()
    {
        const int Rounds = 40;
        using var rig = new S390Rig(time: TimeProvider.System);
        using var survivor = new SleepyGuest(rig, 1, KvmS390ZpciAenFlags.None);
        ZpciVfioPciDevice device = rig.AddFunction(9);
        int stop = 0;
        Thread[] devices = [.. new[] { survivor.Function, device.Zpci! }.Select(f => new Thread(() =>
        {
            for (int i = 0; Volatile.Read(ref stop) == 0; i++)
            {
                f.Signal(i & 63);
            }
        })
        { IsBackground = true })];
        Array.ForEach(devices, static d => d.Start());
        for (int round = 0; round < Rounds; round++)
        {
            SimulatedVm vm = rig.AddVm();
            VfioDeviceFile file = rig.Open(device, vm);
            Assert.Equal(Errno.None, rig.Operate(S390Rig.Call(device.Zpci!, round % 2 == 0 ? KvmS390ZpciAenFlags.None : KvmS390ZpciAenFlags.Host, summary: 0), vm));
            Gisa gisa = vm.Gisa!;
            Assert.True(SpinWait.SpinUntil(() => gisa.PostedByFirmware + gisa.ForwardedByHost != 0, HypervisorRig.Patience), $"round {round}: no signal arrives");
            vm.Dispose();
            file.Dispose();
            Assert.True(vm.IsDestroyed);
        }

        long taken = survivor.Taken;
        Assert.True(SpinWait.SpinUntil(() => survivor.Taken > taken, HypervisorRig.Patience), "the survivor gets nothing more");
        Volatile.Write(ref stop, 1);
        Array.ForEach(devices, static d => d.Join());
        Assert.Equal((1, 0L), (rig.S390.Forwarded, rig.S390.Warnings));
    }

    /// <summary>A machine with one function and one processor, which looks only when it is kicked.</summary>
    private sealed class SleepyGuest : IDisposable
    {
        private readonly SemaphoreSlim _kicked = new(0);
        private readonly ProcessMemory _memory;
        private readonly VfioDeviceFile _file;
        private readonly Thread _processor;
        private int _stop;
        private long _taken;

        public SleepyGuest(S390Rig rig, ushort index, KvmS390ZpciAenFlags flags)
        {
            Machine = rig.AddVm();
            _memory = rig.MemoryOf(Machine);
            Machine.Processors.Kicked = _ => _kicked.Release();
            ZpciVfioPciDevice device = rig.AddFunction(index);
            Function = device.Zpci!;
            _file = rig.Open(device, Machine);
            Assert.Equal(Errno.None, rig.Operate(S390Rig.Call(Function, flags), Machine));
            _processor = new Thread(Run) { IsBackground = true };
            _processor.Start();
        }

        public SimulatedVm Machine { get; }

        public ZpciFunction Function { get; }

        public long Taken => Interlocked.Read(ref _taken);

        public bool IsQuiet => Machine.Gisa!.Pending == 0 && _memory.Span(S390Rig.Vector, 8).IndexOfAnyExcept((byte)0) < 0;

        public void Dispose()
        {
            Volatile.Write(ref _stop, 1);
            _kicked.Release();
            _processor.Join();
            Machine.Processors.Kicked = null;
            _file.Dispose();
        }

        private void Run()
        {
            nint vector = _memory.DirectAddress + (nint)S390Rig.Vector;
            nint summary = _memory.DirectAddress + (nint)S390Rig.Summary;
            while (true)
            {
                _kicked.Wait();
                if (Volatile.Read(ref _stop) != 0)
                {
                    return;
                }

                for (byte pending = Machine.Processors.Enter(); pending != 0; pending = Machine.Processors.Take())
                {
                    // As Linux does: summary first, then the vectors.
                    IndicatorBits.TestAndClear(summary, 2);
                    for (uint n = 0; n < 64; n++)
                    {
                        if (IndicatorBits.TestAndClear(vector, n))
                        {
                            Interlocked.Increment(ref _taken);
                        }
                    }
                }

                Machine.Processors.Leave();
            }
        }
    }
}
