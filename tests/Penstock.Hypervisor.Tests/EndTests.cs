using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

/// <summary>What machines do with eventfds and memory when either goes, and with parts of others that fail.</summary>
public sealed class EndTests : IDisposable
{
    private const uint Gsi = 5;
    private const ulong Address = 0x1000;
    private const int Rounds = 1000;

    private readonly HypervisorRig _rig = new();
    private readonly EventDescriptor _event = EventDescriptor.Create();

    public void Dispose()
    {
        _event.Dispose();
        _rig.Dispose();
    }

    [Fact]
    public void IoEventfd_TakenAwayWhileTheGuestWrites_NoOtherFileOfItsNumberIsWritten()
    {
        var match = new IoMatch(IoSpace.Memory, Address, 4);
        Race(
            () => _rig.Vm.IoEventfds.GuestWrites(IoSpace.Memory, Address, 4, 0),
            () => _rig.Vm.IoEventfds.Assign(_event, match),
            () => _rig.Vm.IoEventfds.Deassign(_event, match));
    }

    [Fact]
    public void Resample_TakenAwayWhileTheGuestAcknowledges_NoOtherFileOfItsNumberIsWritten()
    {
        using EventDescriptor resample = EventDescriptor.Create();
        using EventDescriptor other = EventDescriptor.Create();
        using EventDescriptor otherResample = EventDescriptor.Create();
        _rig.Vm.Irqfds.Assign(other, Gsi, otherResample);
        Race(
            () => _rig.Vm.Interrupts.EndOfInterrupt(Gsi),
            () => _rig.Vm.Irqfds.Assign(_event, Gsi, resample),
            () => _rig.Vm.Irqfds.Deassign(_event, Gsi));
    }

    [Fact]
    public void Destroyed_TakesNoEventfdAndNoMemory()
    {
        ProcessMemory memory = ProcessMemory.Allocate(0x1000, _rig.Host.Ledger);
        _rig.Vm.Dispose();
        Assert.True(_rig.Vm.IsDestroyed);
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _rig.Vm.IoEventfds.Assign(_event, new IoMatch(IoSpace.Memory, Address, 4))));
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _rig.Vm.IoEventfds.AddDevice(IoSpace.Memory, static (_, _, _) => false)));
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x1000, memory))));
        Assert.Equal(Errno.EBADF, _rig.VmIoctl(KvmRequest.IoEventfd, new KvmIoEventfd { Address = Address, Length = 4, Descriptor = _event.Descriptor.Value }));
        memory.Release();
    }

    [Fact]
    public void Irqfd_ProducerThrowsAnything_WorksByTheEventfdAndGoes()
    {
        var bad = new BadProducer(_event.Identity);
        _rig.Host.IrqBypass.Register(bad);
        _rig.Vm.Irqfds.Assign(_event, Gsi);
        Assert.Contains(_rig.Log, static l => l.Contains("by their eventfd only", StringComparison.Ordinal));
        _event.Signal();
        Assert.True(_rig.Vm.Interrupts.WaitDelivered(Gsi, 1, HypervisorRig.Patience));
        _rig.Vm.Irqfds.Deassign(_event, Gsi);
        bad.Joins = true;
        _rig.Vm.Irqfds.Assign(_event, Gsi);

        // It also throws when it is told to part; the machine goes all the same.
        _rig.Vm.Dispose();
        Assert.True(_rig.Vm.IsDestroyed);
        Assert.Equal(0, _rig.Vm.Irqfds.Count);
        _rig.Host.IrqBypass.Unregister(bad);
        Assert.Equal(0, _rig.Host.IrqBypass.Producers);
    }

    [Fact]
    public void Irqfd_OfAMachineOfAnotherHypervisor_EBUSY()
    {
        using SimulatedVm other = new SimulatedKvm(_rig.Host).CreateVm();
        _rig.Vm.Irqfds.Assign(_event, Gsi);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => other.Irqfds.Assign(_event, Gsi)));
        _rig.Vm.Irqfds.Deassign(_event, Gsi);
        other.Irqfds.Assign(_event, Gsi);
    }

    [Fact]
    public void Memory_PastTheLastAddress_EFAULT()
    {
        ProcessMemory memory = ProcessMemory.Allocate(0x2000, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x1000, memory));
        _rig.Vm.Memory.Add(new GuestMemorySlot(1, ulong.MaxValue - 0xfff, 0x1000, memory, 0x1000));
        memory.Release();
        Assert.Equal(Errno.EFAULT, _rig.Vm.Memory.Read(ulong.MaxValue - 1, new byte[4]));
        Assert.Equal(Errno.EFAULT, _rig.Vm.Memory.Write(ulong.MaxValue - 1, new byte[4]));
        Assert.Equal(Errno.None, _rig.Vm.Memory.Read(ulong.MaxValue - 1, new byte[2]));
    }

    [Fact]
    public void Route_OfALineInService_StaysInServiceAndPending()
    {
        _rig.Vm.Interrupts.RaiseGsi(Gsi);
        _rig.Vm.Interrupts.RaiseGsi(Gsi);
        Assert.Equal(1ul, _rig.Vm.Interrupts.Delivered(Gsi));
        _rig.Vm.Interrupts.Route(Gsi, new InterruptMessage(1, 2));
        Assert.Equal(1ul, _rig.Vm.Interrupts.Delivered(Gsi));
        _rig.Vm.Interrupts.EndOfInterrupt(Gsi);
        Assert.Equal(2ul, _rig.Vm.Interrupts.Delivered(Gsi));
    }

    /// <summary>Takes an eventfd away while threads signal it, and opens others that get its number.</summary>
    private static void Race(Action signal, Action add, Action remove)
    {
        bool stop = false;
        long signals = 0;
        Thread[] threads = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                signal();
                Interlocked.Increment(ref signals);
            }
        })
        { IsBackground = true })];
        Array.ForEach(threads, static t => t.Start());
        int strayed = 0;
        for (int round = 0; round < Rounds; round++)
        {
            add();
            if (round % 64 == 0)
            {
                // Each thread has one under way: the fourth from now began after now.
                long seen = Interlocked.Read(ref signals);
                Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref signals) >= seen + 4, HypervisorRig.Patience), "nobody signals");
            }

            Thread.Yield();
            remove();
            using EventDescriptor first = EventDescriptor.Create();
            using EventDescriptor second = EventDescriptor.Create();
            Thread.SpinWait(500);
            strayed += first.TryDrain(out _) | second.TryDrain(out _) ? 1 : 0;
        }

        Volatile.Write(ref stop, true);
        Array.ForEach(threads, static t => t.Join());
        Assert.Equal(0, strayed);
    }

    /// <summary>A source whose methods fail in a way that nobody expects.</summary>
    private sealed class BadProducer(ulong key) : IrqBypassProducer(key, 1)
    {
        public bool Joins { get; set; }

        protected override void AddConsumer(IrqBypassConsumer consumer)
        {
            if (!Joins)
            {
                throw new InvalidOperationException("not today");
            }
        }

        protected override void RemoveConsumer(IrqBypassConsumer consumer) => throw new InvalidOperationException("nor tomorrow");
    }
}
