using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

/// <summary>A host with devices in groups of their own, and a machine whose user gives descriptors as numbers.</summary>
internal sealed class HypervisorRig : IDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private static readonly Caller User = new(1000, RawIo: false, LockMemory: true, ulong.MaxValue);

    private readonly List<string> _log = [];
    private readonly S390Hypervisor? _s390;

    public HypervisorRig(SimulatedVmOptions? options = null, bool s390 = false)
    {
        Host = new VfioHost(new VfioHostOptions { Log = line => { lock (_log) { _log.Add(line); } } });
        Firmware = s390 ? new ZpciFirmware(ledger: Host.Ledger) : null;
        _s390 = Firmware is null ? null : new S390Hypervisor(Firmware);
        Kvm = new SimulatedKvm(Host, _s390);
        Vm = Kvm.CreateVm(options, files: Files);
    }

    public VfioHost Host { get; }

    /// <summary>The firmware of a host that is an s390.</summary>
    public ZpciFirmware? Firmware { get; }

    public SimulatedKvm Kvm { get; }

    public SimulatedVm Vm { get; }

    public UserFiles Files { get; } = new();

    public IReadOnlyList<string> Log
    {
        get
        {
            lock (_log)
            {
                return [.. _log];
            }
        }
    }

    /// <summary>Gives the machine memory from address 0 on.</summary>
    public void AddMemory(ulong length)
    {
        ProcessMemory memory = ProcessMemory.Allocate(length, Host.Ledger);
        Vm.Memory.Add(new GuestMemorySlot(0, 0, length, memory));
        memory.Release();
    }

    /// <summary>A device in a group of its own, in a container with a backend.</summary>
    public (FakeDevice Device, VfioGroup Group) AddDevice(string name = "fake0", bool coherent = true)
    {
        IommuGroup group = Host.AddIommuUnit($"unit of {name}", new IommuUnitOptions { EnforcesCoherency = coherent }).CreateGroup();
        var device = new FakeDevice(name);
        Host.Register(device, group);
        return (device, Ready(group));
    }

    public VfioGroup Ready(IommuGroup group)
    {
        VfioGroup file = Host.OpenGroup(group.Number, User);
        using VfioContainer container = Host.OpenContainer(User);
        file.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        return file;
    }

    public VfioCdevFile OpenCdev(string name) => Host.OpenCdev(name, User);

    public IommufdContext OpenIommufd() => Host.OpenIommufd(User);

    public Errno VmIoctl<T>(KvmRequest request, T argument)
        where T : unmanaged => VmIoctl(Vm, request, ref argument);

    public static Errno VmIoctl<T>(SimulatedVm vm, KvmRequest request, ref T argument)
        where T : unmanaged
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<T>(ref argument));
        try
        {
            return vm.Ioctl((uint)request, bytes) == 0 ? Errno.None : Errno.EIO;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }

    /// <summary>The machine's VFIO device, made by number.</summary>
    public KvmVfio CreateVfio()
    {
        var call = new KvmCreateDevice { Type = KvmDeviceType.Vfio };
        Assert.Equal(Errno.None, VmIoctl(Vm, KvmRequest.CreateDevice, ref call));
        return Assert.IsType<KvmVfio>(Files.Find(call.Descriptor));
    }

    /// <summary>KVM_SET_DEVICE_ATTR with a descriptor in this process's memory.</summary>
    public static unsafe Errno SetAttr(KvmVfio vfio, uint group, ulong attribute, int descriptor)
    {
        Span<byte> value = stackalloc byte[KvmVfioAttribute.DescriptorLength];
        BinaryPrimitives.WriteInt32LittleEndian(value, descriptor);

        // SAFETY: the value is on this stack, and stays there during the call.
        fixed (byte* address = value)
        {
            var call = new KvmDeviceAttr { Group = group, Attribute = attribute, Address = (ulong)address };
            return AttrIoctl(vfio, KvmRequest.SetDeviceAttr, call);
        }
    }

    public static Errno AttrIoctl(KvmVfio vfio, KvmRequest request, KvmDeviceAttr call)
    {
        byte[] bytes = MemoryMarshal.AsBytes(new Span<KvmDeviceAttr>(ref call)).ToArray();
        return ErrnoOf(() => Assert.Equal(0, vfio.Ioctl((uint)request, bytes)));
    }

    public static Errno Add(KvmVfio vfio, int descriptor) => SetAttr(vfio, KvmVfioAttribute.FileGroup, KvmVfioAttribute.FileAdd, descriptor);

    public static Errno Del(KvmVfio vfio, int descriptor) => SetAttr(vfio, KvmVfioAttribute.FileGroup, KvmVfioAttribute.FileDel, descriptor);

    public void Dispose()
    {
        Vm.Dispose();
        Assert.True(Vm.IsDestroyed);
        Assert.Equal(0, Vm.NonCoherentDma);
        Assert.Equal(0, Host.IrqBypass.Consumers);
        _s390?.Dispose();
        Firmware?.Dispose();
        Assert.True(SpinWait.SpinUntil(() => Host.Ledger.Total == 0, Patience), Host.Ledger.ToString());
        Host.Dispose();
    }
}
