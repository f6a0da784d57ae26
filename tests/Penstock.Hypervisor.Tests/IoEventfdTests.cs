using Penstock.Interop;
using Penstock.Specs.Kvm;

namespace Penstock.Hypervisor.Tests;

public sealed class IoEventfdTests : IDisposable
{
    private const ulong Address = 0x1000;

    private readonly HypervisorRig _rig = new();
    private readonly EventDescriptor _event = EventDescriptor.Create();
    private readonly EventDescriptor _other = EventDescriptor.Create();

    public void Dispose()
    {
        _event.Dispose();
        _other.Dispose();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "B11")]
    public void Assign_BadArguments_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, Call(length: 3));
        Assert.Equal(Errno.EINVAL, Call(length: 0, flags: KvmIoEventfdFlags.DataMatch));
        Assert.Equal(Errno.EINVAL, Call(address: ulong.MaxValue - 2, length: 4));
        Assert.Equal(Errno.EINVAL, Call(flags: (KvmIoEventfdFlags)16));
        Assert.Equal(Errno.EBADF, Call(descriptor: 0xfff_fff));
        Assert.Equal(Errno.EINVAL, Call(descriptor: _rig.Files.Install(_rig.Vm)));
        Assert.Equal(0, _rig.Vm.IoEventfds.Count);
    }

    [Fact]
    [Trait("Row", "B12")]
    public void Assign_Collisions_AsTheRuleSays()
    {
        Assert.Equal(Errno.None, Call(data: 1, flags: KvmIoEventfdFlags.DataMatch));
        Assert.Equal(Errno.None, Call(data: 2, flags: KvmIoEventfdFlags.DataMatch));
        Assert.Equal(Errno.EEXIST, Call(data: 2, flags: KvmIoEventfdFlags.DataMatch));
        Assert.Equal(Errno.EEXIST, Call());
        Assert.Equal(Errno.None, Call(length: 2));
        Assert.Equal(Errno.EEXIST, Call(length: 0));
        Assert.Equal(Errno.None, Call(flags: KvmIoEventfdFlags.Pio));
        Assert.Equal(Errno.None, Call(address: Address + 1, length: 0));
        Assert.Equal(Errno.EEXIST, Call(address: Address + 1, length: 8));
    }

    [Fact]
    [Trait("Row", "B13")]
    public void Deassign_OtherData_ENOENT()
    {
        Call(data: 1, flags: KvmIoEventfdFlags.DataMatch);
        const KvmIoEventfdFlags Deassign = KvmIoEventfdFlags.Deassign;
        Assert.Equal(Errno.ENOENT, Call(data: 2, flags: Deassign | KvmIoEventfdFlags.DataMatch));
        Assert.Equal(Errno.ENOENT, Call(data: 1, flags: Deassign));
        Assert.Equal(Errno.ENOENT, Call(data: 1, length: 2, flags: Deassign | KvmIoEventfdFlags.DataMatch));
        Assert.Equal(Errno.ENOENT, Call(data: 1, flags: Deassign | KvmIoEventfdFlags.DataMatch | KvmIoEventfdFlags.Pio));
        Assert.Equal(Errno.ENOENT, Call(data: 1, flags: Deassign | KvmIoEventfdFlags.DataMatch, descriptor: _other.Descriptor.Value));
        Assert.Equal(Errno.ENOENT, Call(length: 3, flags: Deassign | (KvmIoEventfdFlags)64));
        Assert.Equal(Errno.None, Call(data: 1, flags: Deassign | KvmIoEventfdFlags.DataMatch));
        Assert.Equal(0, _rig.Vm.IoEventfds.Count);
    }

    [Fact]
    public void GuestWrites_MatchAddressWidthAndValue_SignalTheRightOne()
    {
        _rig.Vm.IoEventfds.Assign(_event, new IoMatch(IoSpace.Memory, Address, 2, 0x1_0007));
        _rig.Vm.IoEventfds.Assign(_other, new IoMatch(IoSpace.Port, 0x70, 0));
        ulong left = 0;
        _rig.Vm.IoEventfds.AddDevice(IoSpace.Memory, (_, _, value) =>
        {
            left = value;
            return true;
        });
        Assert.True(_rig.Vm.IoEventfds.GuestWrites(IoSpace.Memory, Address, 2, 0xff_0007));
        Assert.True(_event.TryDrain(out _));
        Assert.True(_rig.Vm.IoEventfds.GuestWrites(IoSpace.Memory, Address, 2, 8));
        Assert.Equal(8ul, left);
        Assert.True(_rig.Vm.IoEventfds.GuestWrites(IoSpace.Memory, Address, 4, 7));
        Assert.Equal(7ul, left);
        Assert.False(_event.TryDrain(out _));
        foreach (uint width in new uint[] { 1, 2, 4 })
        {
            Assert.True(_rig.Vm.IoEventfds.GuestWrites(IoSpace.Port, 0x70, width, 0));
        }

        Assert.True(_other.TryDrain(out ulong count));
        Assert.Equal(3ul, count);
        Assert.False(_rig.Vm.IoEventfds.GuestWrites(IoSpace.Port, 0x71, 1, 0));
    }

    [Fact]
    public void Assign_SpaceFullOfDevices_ENOSPCButEventfdsDoNotCount()
    {
        for (ulong i = 0; i < 1100; i++)
        {
            _rig.Vm.IoEventfds.Assign(_event, new IoMatch(IoSpace.Memory, 0x8000 + (8 * i), 4));
        }

        for (int i = 0; i < 999; i++)
        {
            _rig.Vm.IoEventfds.AddDevice(IoSpace.Memory, static (_, _, _) => false);
        }

        Assert.Equal(Errno.None, Call());
        _rig.Vm.IoEventfds.AddDevice(IoSpace.Memory, static (_, _, _) => false);
        Assert.Equal(Errno.ENOSPC, Call(address: Address + 4));
        Assert.Equal(Errno.None, Call(flags: KvmIoEventfdFlags.Pio));
    }

    private Errno Call(
        ulong data = 0,
        ulong address = Address,
        uint length = 4,
        KvmIoEventfdFlags flags = KvmIoEventfdFlags.None,
        int? descriptor = null) => _rig.VmIoctl(KvmRequest.IoEventfd, new KvmIoEventfd
        {
            DataMatch = data,
            Address = address,
            Length = length,
            Flags = flags,
            Descriptor = descriptor ?? _event.Descriptor.Value,
        });
}
