using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>Interrupts around the moments at which a device stops and runs again.</summary>
public sealed class StoppedInterruptTests
{
    [Theory]
    [InlineData(VfioIrqs.Msi)]
    [InlineData(VfioIrqs.Msix)]
    public void Running_WhileAVectorIsSignalledOnce_ItIsNotLost(int index)
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Bind(rig, index, 4);
        using var signaller = new Signaller(() => rig.Counter.Port.SignalVector(0));
        var random = new Random(2);
        for (int round = 0; round < 4000; round++)
        {
            rig.File.SetMigrationState(MigrationState.Stop);
            signaller.Begin();
            Thread.SpinWait(random.Next(60));
            rig.File.SetMigrationState(MigrationState.Running);
            signaller.WaitUntilDone();
            Assert.True(events[0].Count() == 1, $"round {round}");
        }
    }

    [Fact]
    public void Msi_PendingWithoutEventfd_IsDroppedAlone()
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Bind(rig, VfioIrqs.Msi, 2);
        rig.File.SetIrqs(Request(VfioIrqs.Msi, VfioIrqSetFlags.DataEventfd) with { Start = 1, Count = 1, Events = [null] });
        rig.Counter.Port.SignalVector(1);
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.Counter.Port.SignalVector(0);
        rig.Counter.Port.SignalVector(1);
        rig.File.SetMigrationState(MigrationState.Running);
        Assert.Equal((ulong[])[1, 0], events.Counts());
    }

    [Theory]
    [InlineData(VfioIrqs.Intx, false)]
    [InlineData(VfioIrqs.Msi, false)]
    [InlineData(VfioIrqs.Msi, true)]
    [InlineData(VfioIrqs.Msix, false)]
    [InlineData(VfioIrqs.Msix, true)]
    public void Stopped_UsersOwnTrigger_ArrivesAtOnce(int index, bool byBool)
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Bind(rig, index, 1);
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.File.SetIrqs(byBool
            ? Request(index, VfioIrqSetFlags.DataBool) with { Count = 1, Bools = new byte[] { 1 } }
            : Request(index, VfioIrqSetFlags.DataNone) with { Count = 1 });
        Assert.Equal(1ul, events[0].Count());
        rig.File.SetMigrationState(MigrationState.Running);
        Assert.Equal(0ul, events[0].Count());
    }

    [Fact]
    public void Msi_DisabledWhilePending_NextEventfdHearsNothingOfIt()
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Bind(rig, VfioIrqs.Msi, 1);
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.Counter.Port.SignalVector(0);
        rig.File.SetIrqs(Request(VfioIrqs.Msi, VfioIrqSetFlags.DataNone));
        rig.File.SetMigrationState(MigrationState.Running);
        EventDescriptor[] others = Bind(rig, VfioIrqs.Msi, 1);
        Assert.Equal((0ul, 0ul), (events[0].Count(), others[0].Count()));
        rig.Counter.Port.SignalVector(0);
        Assert.Equal(1ul, others[0].Count());
    }

    [Theory]
    [InlineData(VfioIrqs.Msi)]
    [InlineData(VfioIrqs.Msix)]
    public void BusMaster_OffOverTheResume_PendingArrivesOnceItIsOn(int index)
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Bind(rig, index, 2);
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.Counter.Port.SignalVector(1);
        SetCommand(rig, 2);
        rig.File.SetMigrationState(MigrationState.Running);
        Assert.Equal((ulong[])[0, 0], events.Counts());
        SetCommand(rig, 6);
        Assert.Equal((ulong[])[0, 1], events.Counts());
        SetCommand(rig, 2);
        SetCommand(rig, 6);
        Assert.Equal((ulong[])[0, 0], events.Counts());
    }

    [Fact]
    public void Msix_BoundWhileBusMasterIsOff_PendingIsKept()
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Bind(rig, VfioIrqs.Msix, 1);
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.Counter.Port.SignalVector(0);
        SetCommand(rig, 2);
        rig.File.SetIrqs(Request(VfioIrqs.Msix, VfioIrqSetFlags.DataEventfd) with { Count = 1, Events = events });
        rig.File.SetMigrationState(MigrationState.Running);
        SetCommand(rig, 6);
        Assert.Equal(1ul, events[0].Count());
    }

    /// <summary>
    /// The signaller stays between its decision and its signal until the line is being suspended. Waiting has a bound, which a busy machine
    /// can reach, so a few rounds may fail; without waiting all do.
    /// </summary>
    [Fact]
    public void Intx_SignallerInside_SuspendingWaitsForIt()
    {
        const int Rounds = 20;
        int late = 0;
        for (int round = 0; round < Rounds; round++)
        {
            var line = new IntxLine(new PciConfigSpace(new CounterFunction().Description));
            using var descriptor = EventDescriptor.Create();
            using var consumer = new SlowConsumer(descriptor.Identity);
            var manager = new IrqBypass();
            var bound = new BoundEvent(descriptor);
            Assert.Null(bound.Join(manager, 0));
            manager.Register(consumer);
            line.Enable(bound);
            var signaller = new Thread(() => line.SetLevel(true));
            signaller.Start();
            consumer.Inside.Wait();
            consumer.Go.Set();
            line.SetSuspended(true);
            late += consumer.Delivered ? 0 : 1;
            signaller.Join();
            line.Disable();
        }

        Assert.InRange(late, 0, Rounds / 2);
    }

    private static void SetCommand(MigrationRig rig, byte command) =>
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 4, [command, 0], out _));

    private static VfioIrqRequest Request(int index, VfioIrqSetFlags data) =>
        new() { Flags = data | VfioIrqSetFlags.ActionTrigger, Index = (uint)index };

    private static EventDescriptor[] Bind(MigrationRig rig, int index, int count)
    {
        EventDescriptor[] events = Events.Make(count);
        rig.File.SetIrqs(Request(index, VfioIrqSetFlags.DataEventfd) with { Count = (uint)count, Events = events });
        return events;
    }

    /// <summary>A thread of its own that does something once each round.</summary>
    private sealed class Signaller : IDisposable
    {
        private readonly Thread _thread;
        private int _begun;
        private int _done;
        private bool _end;

        public Signaller(Action signal)
        {
            _thread = new Thread(() =>
            {
                var random = new Random(1);
                int idle = 0;
                for (int round = 0; ; round++)
                {
                    while (Volatile.Read(ref _begun) == round)
                    {
                        if (Volatile.Read(ref _end))
                        {
                            return;
                        }

                        // One processor is enough: whoever is waited for may need it.
                        Thread.SpinWait(1);
                        if (++idle % 1000 == 0)
                        {
                            Thread.Yield();
                        }
                    }

                    Thread.SpinWait(random.Next(60));
                    signal();
                    Volatile.Write(ref _done, round + 1);
                }
            });
            _thread.Start();
        }

        public void Begin() => Volatile.Write(ref _begun, _begun + 1);

        public void WaitUntilDone()
        {
            while (Volatile.Read(ref _done) != _begun)
            {
                Thread.Yield();
            }
        }

        public void Dispose()
        {
            Volatile.Write(ref _end, true);
            _thread.Join();
        }
    }

    private sealed class SlowConsumer(ulong key) : IrqBypassConsumer(key), IDisposable
    {
        private volatile bool _delivered;

        public ManualResetEventSlim Inside { get; } = new();

        public ManualResetEventSlim Go { get; } = new();

        public bool Delivered => _delivered;

        public void Dispose()
        {
            Inside.Dispose();
            Go.Dispose();
        }

        protected override void AddProducer(IrqBypassProducer producer)
        {
        }

        protected override void RemoveProducer(IrqBypassProducer producer)
        {
        }

        protected override void Deliver()
        {
            Inside.Set();
            Go.Wait();
            Thread.Sleep(1);
            _delivered = true;
        }
    }
}
