using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>With a machine or without, with a hypervisor's half or without: what an open does, and what it tells.</summary>
public sealed class AssociationMatrixTests : IDisposable
{
    private readonly S390Rig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(false, false, Errno.None)]
    [InlineData(false, true, Errno.None)]
    [InlineData(true, false, Errno.ENOENT)]
    [InlineData(true, true, Errno.None)]
    [Trait("Row", "S2-1")]
    public void Open_MachineAndHook_AsTheTableSays(bool machine, bool hook, Errno expected)
    {
        ZpciVfioPciDevice device = _rig.AddFunction();
        if (!hook)
        {
            _rig.Unload();
        }

        Errno errno = ErrnoOf(() =>
        {
            using VfioDeviceFile file = machine ? _rig.Open(device) : _rig.OpenWithoutMachine(device);
            Assert.Equal(machine && hook, device.IsRegistered);
            Assert.Equal(machine && hook ? 1 : 0, _rig.Vm.Zpci.All.Count);
        });
        Assert.Equal(expected, errno);
        Assert.Equal((true, 0u), (device.Zpci!.IsEnabled, device.Zpci.Designation));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "S2-1")]
    public void Open_NotAZpciFunction_ENODEV(bool machine)
    {
        ZpciVfioPciDevice device = _rig.AddFunction(make: static (name, hardware, group, _) => new ZpciVfioPciDevice(name, hardware, group, null));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => (machine ? _rig.Open(device) : _rig.OpenWithoutMachine(device)).Dispose()));
    }

    [Fact]
    [Trait("Row", "S2-5")]
    public void Open_BuiltWithoutTheHypervisorsHalf_NothingIsTiedAndInformationIsThere()
    {
        ZpciVfioPciDevice device = _rig.AddFunction(
            make: static (name, hardware, group, zpci) => new ZpciVfioPciDevice(name, hardware, group, zpci, registersWithMachines: false));
        uint handle = device.Zpci!.Handle;
        using VfioDeviceFile file = _rig.Open(device);
        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.Equal((handle, ZpciExecutionControls.None), (device.Zpci.Handle, _rig.Vm.Processors.Controls));
        Assert.Contains(InfoOf(file), static b => b != 0);
        Assert.Equal(Errno.ENODEV, _rig.Operate(S390Rig.Call(device.Zpci)));
    }

    [Fact]
    [Trait("Row", "S2-6")]
    public void GetInfo_WithAndWithoutAMachine_DiffersInTheHandleOnly()
    {
        ZpciVfioPciDevice device = _rig.AddFunction();
        byte[] without;
        uint before = device.Zpci!.Handle;
        using (VfioDeviceFile file = _rig.OpenWithoutMachine(device))
        {
            without = InfoOf(file);
        }

        using VfioDeviceFile tied = _rig.Open(device);
        byte[] with = InfoOf(tied);
        int at = without.AsSpan().IndexOf(BitConverter.GetBytes(before));
        Assert.True(at > 0);
        Assert.Equal(device.Zpci.Handle, BitConverter.ToUInt32(with, at));
        Assert.NotEqual(before, device.Zpci.Handle);
        BitConverter.TryWriteBytes(with.AsSpan(at), before);
        Assert.Equal(without, with);
        Assert.True(MemoryMarshal.Read<VfioDeviceGetInfo>(with).CapabilityOffset != 0);
    }

    /// <summary>The hypervisor's half is to be unloaded while a function is forwarded: refused, or it goes on to the end for who uses it.</summary>
    [Fact]
    [Trait("Row", "S2-2")]
    public void Unload_FunctionForwarded_RefusedOrDrained()
    {
        ZpciVfioPciDevice device = _rig.AddFunction();
        ZpciVfioPciDevice other = _rig.AddFunction(6);
        VfioDeviceFile file = _rig.Open(device);
        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(device.Zpci!)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(_rig.Installed.Remove));
        _rig.Unload();
        Assert.False(_rig.Installed.Drained.IsCompleted);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Open(other).Dispose()));
        Assert.True(device.Zpci!.Signal(0));
        Assert.Equal(0x80, _rig.Byte(S390Rig.Vector));
        _rig.Gisa.Take();
        file.Dispose();
        Assert.True(_rig.Installed.Drained.IsCompleted);
        Assert.Equal((0, 0u), (_rig.S390.Forwarded, device.Zpci.Designation));
    }

    /// <summary>The machine's call has found its function, and waits while the function is given to another machine.</summary>
    [Fact]
    [Trait("Row", "S0-6")]
    public void ZpciOp_FunctionBecomesAnotherMachinesMeanwhile_EPERM()
    {
        const ulong Place = 0x10_0000;
        SimulatedVm other = _rig.AddVm();
        ZpciVfioPciDevice device = _rig.AddFunction();
        VfioDeviceFile file = _rig.Open(device);
        Errno errno = Errno.None;
        Thread? vmm = null;

        // Its last page goes while the tie ends: from there on the function is the host's to give.
        var memory = new TellingMemory(0x1000, () =>
        {
            vmm!.Start();
            Assert.True(SpinWait.SpinUntil(() => (vmm.ThreadState & ThreadState.WaitSleepJoin) != 0, HypervisorRig.Patience));
            device.Zpci!.ForgetDesignation();
            _rig.Association.Register(device, other);
        });
        _rig.Vm.Memory.Add(new GuestMemorySlot(1, Place, 0x1000, memory));
        var call = S390Rig.Call(device.Zpci!, vector: Place, summary: 0);
        Assert.Equal(Errno.None, _rig.Operate(call));
        _rig.Vm.Memory.Remove(1);
        memory.Release();
        vmm = new Thread(() => errno = _rig.Operate(call));
        file.Dispose();
        vmm.Join();
        Assert.Equal(Errno.EPERM, errno);
        Assert.Single(other.Zpci.All);
        _rig.Association.Unregister(device);
        Assert.Empty(other.Zpci.All);
    }

    private static byte[] InfoOf(VfioDeviceFile file)
    {
        byte[] bytes = new byte[512];
        BitConverter.TryWriteBytes(bytes, bytes.Length);
        Assert.Equal(0, file.Ioctl((uint)VfioDeviceRequest.GetInfo, bytes));
        return bytes;
    }

    /// <summary>Memory that says when its last user has gone.</summary>
    private sealed class TellingMemory(ulong length, Action gone) : UserMemory(length)
    {
        private readonly ProcessMemory _memory = ProcessMemory.Allocate(length);

        public override nint DirectAddress => _memory.DirectAddress;

        public override Errno Read(ulong offset, Span<byte> destination) => _memory.Read(offset, destination);

        public override Errno Write(ulong offset, ReadOnlySpan<byte> source) => _memory.Write(offset, source);

        protected override void Free()
        {
            gone();
            _memory.Release();
        }
    }
}
