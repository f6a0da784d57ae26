using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>Unmasking by eventfd of several devices, whose eventfds one thread watches.</summary>
public sealed class UnmaskEventTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly EventDescriptor[] _triggers = Events.Make(2);
    private readonly EventDescriptor[] _unmasks = Events.Make(2);
    private readonly Pin[] _pins;

    public UnmaskEventTests()
    {
        IommuGroup group = TestTopology.NewGroup();
        _pins = [new Pin("0000:01:00.0", TestDevice.FullFunction(), group), new Pin("0000:01:00.1", TestDevice.FullFunction(), group.Unit.CreateGroup())];
        for (int i = 0; i < _pins.Length; i++)
        {
            _pins[i].Open();
            _pins[i].Bind(VfioIrqSetFlags.ActionTrigger, _triggers[i]);
            _pins[i].Bind(VfioIrqSetFlags.ActionUnmask, _unmasks[i]);
            _pins[i].Hardware.Port.SetIntx(true);
            Assert.Equal(1u, _triggers[i].Count());
        }
    }

    public void Dispose()
    {
        foreach (Pin pin in _pins)
        {
            pin.Close();
            pin.Dispose();
        }

        Array.ForEach([.. _triggers, .. _unmasks], static e => e.Dispose());
    }

    [Fact]
    public void Unmask_StrandThatIsBusy_WaitsForItAndHoldsUpNobodyElse()
    {
        _pins[0].OnStrand(() =>
        {
            _unmasks[0].Signal();
            WaitUntilTaken(_unmasks[0]);

            // The thread that watches is done with the first eventfd once the second device is unmasked; it signalled nobody's eventfd by itself.
            _unmasks[1].Signal();
            Assert.True(Poll.Wait(_triggers[1].Descriptor.Value, PollEvents.In, Patience).HasFlag(PollEvents.In));
            Assert.Equal(0u, _triggers[0].Count());
        });
        Assert.True(Poll.Wait(_triggers[0].Descriptor.Value, PollEvents.In, Patience).HasFlag(PollEvents.In));
    }

    [Fact]
    public void Unmask_WishTakenBackBeforeTheStrandComesToIt_UnmasksNothing()
    {
        _pins[0].OnStrand(() =>
        {
            _unmasks[0].Signal();
            WaitUntilTaken(_unmasks[0]);
            _pins[0].Bind(VfioIrqSetFlags.ActionUnmask, null);
        });
        _pins[0].AfterPosted();
        Assert.Equal(0u, _triggers[0].Count());
    }

    private static void WaitUntilTaken(EventDescriptor events) => Assert.True(
        SpinWait.SpinUntil(() => !Poll.Wait(events.Descriptor.Value, PollEvents.In, TimeSpan.Zero).HasFlag(PollEvents.In), Patience));

    /// <summary>A device with a pin, without its file.</summary>
    private sealed class Pin(string name, FakeFunction function, IommuGroup group) : VfioPciCoreDevice(name, function, group)
    {
        public FakeFunction Hardware => function;

        public new void Open() => base.Open();

        public new void Close() => base.Close();

        public void OnStrand(Action work) => Strand.RunOn(work);

        /// <summary>Returns when what was posted before is done.</summary>
        public void AfterPosted()
        {
            using var done = new ManualResetEventSlim();
            Strand.Post(done.Set);
            Assert.True(done.Wait(Patience));
        }

        public void Bind(VfioIrqSetFlags action, EventDescriptor? events) => SetIrqs(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | action,
            Index = VfioIrqs.Intx,
            Count = 1,
            Events = new[] { events },
        });
    }
}
