using Penstock.Interop;
using Penstock.Specs.Kvm;

namespace Penstock.Hypervisor.Tests;

public sealed class IrqfdTests : IDisposable
{
    private const uint Gsi = 5;

    private readonly HypervisorRig _rig = new();
    private readonly EventDescriptor _event = EventDescriptor.Create();
    private readonly EventDescriptor _resample = EventDescriptor.Create();

    public void Dispose()
    {
        _event.Dispose();
        _resample.Dispose();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "B6")]
    public void Assign_BadArguments_EachHasItsErrno()
    {
        using MemoryFile file = MemoryFile.Create("test", 4096);
        Assert.Equal(Errno.EBADF, Irqfd(0xfff_fff));
        Assert.Equal(Errno.EINVAL, Irqfd(file.Descriptor.Value));
        Assert.Equal(Errno.EINVAL, Irqfd(_rig.Files.Install(_rig.Vm)));
        Assert.Equal(Errno.EINVAL, Irqfd(_event.Descriptor.Value, (KvmIrqfdFlags)4));
        Assert.Equal(Errno.EBADF, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Resample, 0xfff_fff));
        Assert.Equal(Errno.EINVAL, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Resample, file.Descriptor.Value));
        Assert.Equal(0, _rig.Vm.Irqfds.Count);

        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value));
        Assert.Equal(Errno.EBUSY, Irqfd(_event.Descriptor.Value));
        using EventDescriptor duplicate = _event.Duplicate();
        Assert.Equal(Errno.EBUSY, Irqfd(duplicate.Descriptor.Value));
        using SimulatedVm other = _rig.Kvm.CreateVm(files: _rig.Files);
        var call = new KvmIrqfd { Descriptor = _event.Descriptor.Value, Gsi = Gsi };
        Assert.Equal(Errno.EBUSY, HypervisorRig.VmIoctl(other, KvmRequest.Irqfd, ref call));
        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Deassign));
        Assert.Equal(Errno.None, HypervisorRig.VmIoctl(other, KvmRequest.Irqfd, ref call));
    }

    [Fact]
    public void Assign_NoController_EINVALBeforeTheDescriptors()
    {
        using var bare = new HypervisorRig(new SimulatedVmOptions { InterruptController = false });
        using var split = new HypervisorRig(new SimulatedVmOptions { SplitInterruptController = true });
        Assert.Equal(Errno.EINVAL, bare.VmIoctl(KvmRequest.Irqfd, new KvmIrqfd { Descriptor = 0xfff_fff }));
        Assert.Equal(Errno.EINVAL, split.VmIoctl(KvmRequest.Irqfd, new KvmIrqfd { Descriptor = 0xfff_fff, Flags = KvmIrqfdFlags.Resample }));
        Assert.Equal(Errno.EBADF, split.VmIoctl(KvmRequest.Irqfd, new KvmIrqfd { Descriptor = 0xfff_fff }));
    }

    [Fact]
    [Trait("Row", "B7")]
    public void Assign_CounterIsThree_IsInjected()
    {
        for (int i = 0; i < 3; i++)
        {
            _event.Signal();
        }

        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value));
        Assert.True(_rig.Vm.Interrupts.WaitDelivered(Gsi, 1, HypervisorRig.Patience));
        Assert.Equal(1ul, _rig.Vm.Interrupts.Delivered(Gsi));
        Assert.False(_event.TryDrain(out _));
    }

    [Fact]
    public void Signal_RoutedToAMessage_SendsIt()
    {
        var message = new InterruptMessage(0xfee0_0000, 0x41);
        _rig.Vm.Interrupts.Route(100, message);
        _rig.Vm.Irqfds.Assign(_event, 100);
        _event.Signal();
        Assert.True(_rig.Vm.Interrupts.WaitDelivered(100, 1, HypervisorRig.Patience));
        Assert.Equal(message, _rig.Vm.Interrupts.LastMessage);
    }

    [Fact]
    public void Signal_UnroutedLine_IsAcceptedAndInjectsNothing()
    {
        _rig.Vm.Irqfds.Assign(_event, 200);
        _event.Signal();
        Assert.True(SpinWait.SpinUntil(() => _rig.Vm.Irqfds.DeliveredByEventfd == 1, HypervisorRig.Patience));
        Assert.Equal(0ul, _rig.Vm.Interrupts.Delivered(200));
    }

    [Fact]
    [Trait("Row", "B8")]
    public void Eoi_TwoResamplingIrqfdsOnALine_BothAreToldAndTheLineIsLow()
    {
        using var second = EventDescriptor.Create();
        using var secondResample = EventDescriptor.Create();
        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Resample, _resample.Descriptor.Value));
        Assert.Equal(Errno.None, Irqfd(second.Descriptor.Value, KvmIrqfdFlags.Resample, secondResample.Descriptor.Value));
        _event.Signal();
        Assert.True(_rig.Vm.Interrupts.WaitDelivered(Gsi, 1, HypervisorRig.Patience));
        Assert.True(_rig.Vm.Interrupts.IsAsserted(Gsi));
        Assert.False(_resample.TryDrain(out _));
        _rig.Vm.Interrupts.EndOfInterrupt(Gsi);
        Assert.False(_rig.Vm.Interrupts.IsAsserted(Gsi));
        Assert.True(_resample.TryDrain(out ulong count));
        Assert.True(secondResample.TryDrain(out ulong secondCount));
        Assert.Equal((1ul, 1ul), (count, secondCount));
        Assert.Equal(1ul, _rig.Vm.Interrupts.Delivered(Gsi));

        // The line goes low with the last of them.
        second.Signal();
        Assert.True(_rig.Vm.Interrupts.WaitDelivered(Gsi, 2, HypervisorRig.Patience));
        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Deassign));
        Assert.True(_rig.Vm.Interrupts.IsAsserted(Gsi));
        Assert.Equal(Errno.None, Irqfd(second.Descriptor.Value, KvmIrqfdFlags.Deassign | KvmIrqfdFlags.Resample));
        Assert.False(_rig.Vm.Interrupts.IsAsserted(Gsi));
    }

    [Fact]
    [Trait("Row", "B9")]
    public void Deassign_UnknownPair_SucceedsAndChangesNothing()
    {
        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Deassign));
        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value));
        var call = new KvmIrqfd { Descriptor = _event.Descriptor.Value, Gsi = Gsi + 1, Flags = KvmIrqfdFlags.Deassign };
        Assert.Equal(Errno.None, _rig.VmIoctl(KvmRequest.Irqfd, call));
        Assert.Equal(1, _rig.Vm.Irqfds.Count);
        Assert.Equal(Errno.EBADF, Irqfd(0xfff_fff, KvmIrqfdFlags.Deassign));
        Assert.Equal(Errno.EINVAL, Irqfd(_event.Descriptor.Value, KvmIrqfdFlags.Deassign | (KvmIrqfdFlags)8));
    }

    [Fact]
    [Trait("Row", "B10")]
    public void EventfdClosed_IrqfdIsGone()
    {
        EventDescriptor duplicate = _event.Duplicate();
        int number = _rig.Files.Install(_event);
        Assert.Equal(Errno.None, Irqfd(number, KvmIrqfdFlags.Resample, _resample.Descriptor.Value));
        _event.Dispose();
        Assert.Equal(1, _rig.Vm.Irqfds.Count);
        duplicate.Signal();
        Assert.True(_rig.Vm.Interrupts.WaitDelivered(Gsi, 1, HypervisorRig.Patience));
        duplicate.Dispose();
        Assert.Equal(0, _rig.Vm.Irqfds.Count);
        Assert.False(_rig.Vm.Interrupts.IsAsserted(Gsi));
        Assert.Equal(0, _rig.Host.Ledger.Total);
        Assert.Equal(Errno.EBADF, Irqfd(number));
    }

    [Fact]
    public void HandleClosed_AllIrqfdsGoThoughTheMachineLives()
    {
        Assert.True(_rig.Vm.TryAcquire());
        Assert.Equal(Errno.None, Irqfd(_event.Descriptor.Value));
        _rig.Vm.Dispose();
        Assert.Equal(0, _rig.Vm.Irqfds.Count);
        Assert.Equal(Errno.EBADF, Irqfd(_event.Descriptor.Value));
        Assert.False(_rig.Vm.IsDestroyed);
        _rig.Vm.Release();
    }

    [Fact]
    public async Task Deassign_WhileSignalsComeIn_InjectsNothingAfterwards()
    {
        _rig.Vm.Interrupts.Route(100, new InterruptMessage(1, 2));
        using var stop = new CancellationTokenSource();
        Task signaller = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                _event.Signal();
            }
        });
        for (int i = 0; i < 200; i++)
        {
            _rig.Vm.Irqfds.Assign(_event, 100);
            Assert.True(_rig.Vm.Interrupts.WaitDelivered(100, _rig.Vm.Interrupts.Delivered(100) + 1, HypervisorRig.Patience));
            _rig.Vm.Irqfds.Deassign(_event, 100);
            ulong delivered = _rig.Vm.Interrupts.Delivered(100);
            await Task.Yield();
            Assert.Equal(delivered, _rig.Vm.Interrupts.Delivered(100));
        }

        await stop.CancelAsync();
        await signaller;
    }

    private Errno Irqfd(int descriptor, KvmIrqfdFlags flags = KvmIrqfdFlags.None, int resample = 0) => _rig.VmIoctl(
        KvmRequest.Irqfd,
        new KvmIrqfd { Descriptor = descriptor, Gsi = Gsi, Flags = flags, ResampleDescriptor = resample });
}
