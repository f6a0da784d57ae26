using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

public sealed class VectorTests : IDisposable
{
    private readonly TestDevice _device = TestDevice.Full();
    private readonly EventDescriptor[] _events = Events.Make(8);

    public VectorTests() => _device.Command = PciCommand.BusMaster | PciCommand.Memory;

    public void Dispose()
    {
        _device.Close();
        _device.Dispose();
        Array.ForEach(_events, static e => e.Dispose());
    }

    [Theory]
    [Trait("Row", "I1")]
    [InlineData(VfioIrqs.Msi, 8)]
    [InlineData(VfioIrqs.Msix, 4)]
    public void Trigger_EachVector_CountsExactlyOneThere(int index, int count)
    {
        EventDescriptor[] events = _events[..count];
        _device.Bind(index, 0, events);
        Assert.All(events.Counts(), static n => Assert.Equal(0u, n));
        for (int vector = 0; vector < count; vector++)
        {
            _device.Irq(index, VfioIrqSetFlags.ActionTrigger, vector);
            Port.SignalVector(vector);
            ulong[] counts = events.Counts();
            Assert.Equal(2u, counts[vector]);
            Assert.Equal(2UL, counts.Aggregate(static (a, b) => a + b));
        }

        _device.Irq(index, VfioIrqSetFlags.ActionTrigger, 0, 0);
        Port.SignalVector(0);
        Assert.All(events.Counts(), static n => Assert.Equal(0u, n));
        Assert.False(Port.UsesVectors);
    }

    [Fact]
    public void MessageIndicator_ThatShowsAVector_SparesItsEventfd()
    {
        var indicator = new ShowsOdd();
        _device.Bind(VfioIrqs.Msix, 0, _events[0], _events[1]);
        _device.MessageIndicator = indicator;
        Port.SignalVector(0);
        Port.SignalVector(1);

        // Has no eventfd: it pends, and is nobody's to show.
        Port.SignalVector(2);
        Assert.Equal([0, 1], indicator.Asked);
        Assert.Equal([1UL, 0], _events[..2].Counts());

        // A user's own trigger is for the eventfd.
        _device.Irq(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, 1);
        Assert.Equal([0UL, 1], _events[..2].Counts());
        _device.MessageIndicator = null;
        Port.SignalVector(1);
        Assert.Equal([0UL, 1], _events[..2].Counts());
        Assert.Equal(2, indicator.Asked.Count);
    }

    [Theory]
    [Trait("Row", "I3")]
    [InlineData(VfioIrqs.Msi, VfioIrqSetFlags.None)]
    [InlineData(VfioIrqs.Msi, VfioIrqSetFlags.ActionMask)]
    [InlineData(VfioIrqs.Msix, VfioIrqSetFlags.ActionUnmask)]
    [InlineData(VfioIrqs.Err, VfioIrqSetFlags.ActionUnmask)]
    [InlineData(VfioIrqs.Req, VfioIrqSetFlags.ActionMask)]
    [InlineData(VfioIrqs.Intx, VfioIrqSetFlags.ActionMask | VfioIrqSetFlags.ActionTrigger)]
    public void Action_ThatTheIndexDoesNotHave_IsEnotty(int index, VfioIrqSetFlags action) =>
        Assert.Equal(Errno.ENOTTY, ErrnoOf(() => _device.Irq(index, action)));

    [Fact]
    [Trait("Row", "I4")]
    public void Bind_MoreThanTheFunctionHas_IsEinvalAndStaysIdle()
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Bind(VfioIrqs.Msix, 0, _events[..5])));
        Assert.False(Port.UsesVectors);
    }

    [Fact]
    [Trait("Row", "I6")]
    public void Bind_WhileAnotherKindIsActive_IsEinval()
    {
        _device.Bind(VfioIrqs.Msi, 0, _events[0]);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Bind(VfioIrqs.Msix, 0, _events[1])));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Bind(VfioIrqs.Intx, 0, _events[1])));
        Port.SignalVector(0);
        Assert.Equal([1u, 0u], _events[..2].Counts());
    }

    [Theory]
    [Trait("Row", "I7")]
    [InlineData(VfioIrqs.Msi)]
    [InlineData(VfioIrqs.Msix)]
    public void Idle_TakesNothingButEventfds(int index)
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger, 0, 0)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger)));
    }

    [Fact]
    [Trait("Row", "I8")]
    public void Bind_WithAClosedEventfdWhileActive_ReleasesUpToItAndKeepsTheRest()
    {
        _device.Bind(VfioIrqs.Msix, 0, _events[..4]);
        EventDescriptor closed = EventDescriptor.Create();
        closed.Dispose();
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _device.Bind(VfioIrqs.Msix, 1, _events[4], closed)));
        SignalAll(4);
        Assert.Equal([1u, 0u, 0u, 1u, 0u], _events[..5].Counts());
    }

    [Theory]
    [Trait("Row", "I9")]
    [InlineData(VfioIrqs.Msi)]
    [InlineData(VfioIrqs.Msix)]
    public void Bind_WithAClosedEventfdAtFirst_LeavesItDisabled(int index)
    {
        EventDescriptor closed = EventDescriptor.Create();
        closed.Dispose();
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _device.Bind(index, 0, _events[0], closed)));
        Assert.False(Port.UsesVectors);
        Port.SignalVector(0);
        Assert.Equal(0u, _events[0].Count());
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger, 0, 0)));
    }

    [Theory]
    [Trait("Row", "I10")]
    [InlineData(true)]
    [InlineData(false)]
    public void Bind_OneMoreVector_WorksOnlyWithDynamicMsix(bool dynamic)
    {
        using var device = new TestDevice(TestDevice.FullFunction()) { Dynamic = dynamic };
        device.Command = PciCommand.BusMaster;
        Assert.Equal(!dynamic, (device.GetIrqInfo(VfioIrqs.Msix).Flags & VfioIrqFlags.NoResize) != 0);
        device.Bind(VfioIrqs.Msix, 0, _events[..2]);
        if (dynamic)
        {
            device.Bind(VfioIrqs.Msix, 3, _events[3]);
            device.Hardware.Port.SignalVector(3);
            Assert.Equal(1u, _events[3].Count());
        }
        else
        {
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => device.Bind(VfioIrqs.Msix, 3, _events[3])));
        }

        device.Hardware.Port.SignalVector(0);
        Assert.Equal(1u, _events[0].Count());
        device.Close();
    }

    [Fact]
    [Trait("Row", "I11")]
    public void Trigger_ByBools_SignalsTheNamedOnes()
    {
        _device.Bind(VfioIrqs.Msix, 0, _events[..4]);
        _device.IrqBools(VfioIrqs.Msix, 0, 1, 0, 1);
        Assert.Equal([1u, 0u, 1u, 0u], _events[..4].Counts());
        _device.IrqBools(VfioIrqs.Msix, 2, 0, 1);
        Assert.Equal([0u, 0u, 0u, 1u], _events[..4].Counts());
    }

    [Fact]
    [Trait("Row", "I12")]
    public void Vector_WithoutEventfd_BecomesPendingAndComesWithTheNextOne()
    {
        _device.Bind(VfioIrqs.Msix, 0, _events[..2]);
        _device.Bind(VfioIrqs.Msix, 1, [null]);
        Port.SignalVector(1);
        Assert.Equal([0u, 0u], _events[..2].Counts());
        Assert.Equal(2, Pending());

        _device.Irq(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, 1);
        _device.Bind(VfioIrqs.Msix, 1, _events[1]);
        Assert.Equal([0u, 1u], _events[..2].Counts());
        Assert.Equal(0, Pending());
        Port.SignalVector(1);
        Assert.Equal([0u, 1u], _events[..2].Counts());
    }

    [Fact]
    public void Qemu_EnableSequence_EndsWithAllVectorsWorking()
    {
        _device.Bind(VfioIrqs.Intx, 0, _events[0]);
        _device.Irq(VfioIrqs.Intx, VfioIrqSetFlags.ActionTrigger, 0, 0);
        _device.Raw(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Msix,
            Count = 1,
        });
        _device.Irq(VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger, 0, 0);
        _device.Bind(VfioIrqs.Msix, 0, _events[..2]);
        _device.Bind(VfioIrqs.Msix, 0, _events[..4]);
        SignalAll(4);
        Assert.Equal([1u, 1u, 1u, 1u], _events[..4].Counts());

        // An absent chunk with a start names exactly its own vectors.
        _device.Bind(VfioIrqs.Msix, 2, null, null);
        SignalAll(4);
        Assert.Equal([1u, 1u, 0u, 0u], _events[..4].Counts());
    }

    [Fact]
    public void Msix_Bound_HasTheHostsMessageInItsTable()
    {
        MsixCapability msix = _device.ConfigSpace.Find<MsixCapability>()!;
        Assert.False(msix.IsEnabled);
        _device.Bind(VfioIrqs.Msix, 1, _events[1]);
        Assert.True(msix.IsEnabled);
        Assert.Equal((PciMsix.VectorMasked, 0u), (msix.TableWord(0, 3), msix.TableWord(1, 3)));
        Assert.NotEqual(0u, msix.TableWord(1, 0));
        Assert.Equal(1u, msix.TableWord(1, 2));
    }

    [Theory]
    [InlineData(VfioIrqs.Msi)]
    [InlineData(VfioIrqs.Msix)]
    public void Signal_WithBusMasterOff_IsNotSent(int index)
    {
        _device.Bind(index, 0, _events[0]);
        _device.Command = PciCommand.Memory;
        Port.SignalVector(0);
        _device.Command = PciCommand.BusMaster;
        Assert.Equal(0u, _events[0].Count());
        Port.SignalVector(0);
        Assert.Equal(1u, _events[0].Count());
    }

    [Fact]
    public void Signal_OfAVectorThatIsNotThere_IsIgnored()
    {
        _device.Bind(VfioIrqs.Msix, 0, _events[..4]);
        Port.SignalVector(4);
        Port.SignalVector(-1);
        Assert.All(_events.Counts(), static n => Assert.Equal(0u, n));
    }

    [Fact]
    public void Msi_MaskedVector_IsPendingUntilUnmask()
    {
        int msi = _device.ConfigSpace.Find<MsiCapability>()!.Offset;
        _device.Bind(VfioIrqs.Msi, 0, _events[..4]);
        _device.WriteConfig(msi + 16, 4, 0b0110);
        SignalAll(4);
        Assert.Equal([1u, 0u, 0u, 1u], _events[..4].Counts());
        Assert.Equal(0b0110u, _device.ReadConfig(msi + 20, 4));

        _device.WriteConfig(msi + 16, 4, 0b0100);
        Assert.Equal([0u, 1u, 0u, 0u], _events[..4].Counts());
        Assert.Equal(0b0100u, _device.ReadConfig(msi + 20, 4));
    }

    [Fact]
    [Trait("Row", "I13")]
    [Trait("Row", "X3")]
    public void Reset_WhileMsixIsActive_KeepsTheEventfds()
    {
        _device.Bind(VfioIrqs.Msix, 0, _events[..4]);
        _device.Reset();
        _device.Command = PciCommand.BusMaster;
        SignalAll(4);
        Assert.Equal([1u, 1u, 1u, 1u], _events[..4].Counts());

        using EventDescriptor other = EventDescriptor.Create();
        _device.Bind(VfioIrqs.Msix, 2, other);
        Port.SignalVector(2);
        Assert.Equal((0u, 1u), (_events[2].Count(), other.Count()));
        Assert.Equal(0u, _device.ConfigSpace.Find<MsixCapability>()!.TableWord(2, 3));
    }

    [Fact]
    [Trait("Row", "I20")]
    public void SingleInterrupts_TriggerAndRemove()
    {
        foreach (int index in new[] { VfioIrqs.Err, VfioIrqs.Req })
        {
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger)));
            _device.Bind(index, 0, _events[index]);
            _device.Irq(index, VfioIrqSetFlags.ActionTrigger);
            _device.IrqBools(index, 0, 1);
            _device.IrqBools(index, 0, 0);
            Assert.Equal(2u, _events[index].Count());
            _device.Irq(index, VfioIrqSetFlags.ActionTrigger, 0, 0);
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger)));
        }
    }

    [Fact]
    [Trait("Row", "I21")]
    public void SingleInterrupts_WrongRange_IsEinval()
    {
        foreach (int index in new[] { VfioIrqs.Err, VfioIrqs.Req })
        {
            _device.Bind(index, 0, _events[0]);
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger, 1)));
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Irq(index, VfioIrqSetFlags.ActionTrigger, 0, 2)));
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.IrqBools(index, 0)));
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.Bind(index, 0)));
        }
    }

    [Fact]
    public void Error_AndRequest_ReachTheirEventfds()
    {
        Assert.False(_device.SignalError());
        _device.Bind(VfioIrqs.Err, 0, _events[0]);
        _device.Bind(VfioIrqs.Req, 0, _events[1]);
        Assert.True(_device.SignalError());
        _device.Request(0);
        _device.Request(1);
        Assert.Equal([1u, 2u], _events[..2].Counts());
    }

    [Theory]
    [Trait("Row", "I23")]
    [InlineData(VfioIrqs.Intx)]
    [InlineData(VfioIrqs.Msi)]
    [InlineData(VfioIrqs.Msix)]
    public void Close_AnyKindActive_SilencesEverything(int index)
    {
        _device.Bind(index, 0, _events[0]);
        _device.Bind(VfioIrqs.Err, 0, _events[1]);
        _device.Bind(VfioIrqs.Req, 0, _events[2]);
        _device.Close();
        Port.SetIntx(true);
        Port.SignalVector(0);
        Assert.False(_device.SignalError());
        _device.Request(0);
        Assert.Equal([0u, 0u, 0u], _events[..3].Counts());
        Assert.False(Port.Dma.BusMasterEnabled);
        _device.Open();
        Port.SetIntx(false);
    }

    [Fact]
    public async Task Signal_WhileTheEventfdIsReplaced_NeverTouchesAClosedOne()
    {
        _device.Bind(VfioIrqs.Msix, 0, _events[0]);
        const int Signals = 20_000;
        Task signaller = Task.Run(() =>
        {
            for (int i = 0; i < Signals; i++)
            {
                Port.SignalVector(0);
            }
        });
        for (int round = 0; !signaller.IsCompleted; round++)
        {
            _device.Bind(VfioIrqs.Msix, 0, (round % 3) switch { 0 => _events[1], 1 => null, _ => _events[0] });
        }

        await signaller;
        _device.Bind(VfioIrqs.Msix, 0, _events[0]);
        _events.Counts();
        Port.SignalVector(0);
        Assert.Equal([1u, 0u], _events[..2].Counts());
        Assert.Equal(0, Pending());
    }

    private PciFunctionPort Port => _device.Hardware.Port;

    private void SignalAll(int count)
    {
        for (int vector = 0; vector < count; vector++)
        {
            Port.SignalVector(vector);
        }
    }

    private int Pending()
    {
        byte[] data = new byte[1];
        Assert.Equal(Errno.None, _device.Read(0, 0x3000, data, out _));
        return data[0];
    }

    private sealed class ShowsOdd : IMessageIndicator
    {
        public List<int> Asked { get; } = [];

        public bool Indicate(int vector)
        {
            Asked.Add(vector);
            return vector % 2 == 1;
        }
    }
}
