using System.Runtime.InteropServices;
using Penstock.Hypervisor.Tests.S390;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.RejectedDesigns;

/// <summary>Why a VM's assists are operations of the VM, and not features of a device file.</summary>
public sealed class NegotiatedAssistsTests : IDisposable
{
    private static readonly VfioFeature[] Features = [NegotiatedAssists.Interpretation, NegotiatedAssists.Interrupts, NegotiatedAssists.Tables];

    private readonly S390Rig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S0-12")]
    public void Feature_NoMachine_ProbeSaysAbsentAndEverySetIsEINVAL()
    {
        using VfioDeviceFile file = _rig.OpenWithoutMachine(Negotiating());
        foreach (VfioFeature feature in Features)
        {
            byte[] data = new byte[KvmS390ZpciOp.Length];
            Assert.Equal(Errno.ENOTTY, Call(file, feature, VfioFeatureFlags.Probe | VfioFeatureFlags.Set, data));
            Assert.Equal(Errno.EINVAL, Call(file, feature, VfioFeatureFlags.Set, data));
        }
    }

    [Fact]
    [Trait("Row", "S0-12")]
    public void Feature_Machine_WhatIsSetIsRead()
    {
        ZpciVfioPciDevice device = Negotiating();
        ZpciFunction function = device.Zpci!;
        using VfioDeviceFile file = _rig.Open(device);
        foreach (VfioFeature feature in Features)
        {
            Assert.Equal(Errno.None, Call(file, feature, VfioFeatureFlags.Probe | VfioFeatureFlags.Set, []));
        }

        ZpciInterpretation mode = default;
        Assert.Equal(Errno.None, Get(file, NegotiatedAssists.Interpretation, ref mode));
        Assert.Equal((1u, function.Handle), (mode.IsOn, mode.Handle));

        KvmS390ZpciOp asked = S390Rig.Call(function);
        Assert.Equal(Errno.None, Set(file, NegotiatedAssists.Interrupts, asked));
        KvmS390ZpciOp told = default;
        Assert.Equal(Errno.None, Get(file, NegotiatedAssists.Interrupts, ref told));
        Assert.Equal((asked.InterruptVector, asked.Interrupts, asked.Subclass), (told.InterruptVector, told.Interrupts, told.Subclass));
        Assert.True(function.Signal(0));
        Assert.Equal(0x80, _rig.Byte(S390Rig.Vector));
        _rig.Gisa.Take();

        Assert.Equal(Errno.None, Set(file, NegotiatedAssists.Tables, 0x8_0804ul));
        ulong iota = 0;
        Assert.Equal(Errno.None, Get(file, NegotiatedAssists.Tables, ref iota));
        Assert.Equal((0x8_0804ul, 0x8_0804ul), (iota, function.Iota));
    }

    /// <summary>The defect: each assist lies in another's way, and the file's user can turn off what the machine stands on.</summary>
    [Fact]
    [Trait("Row", "S0-12")]
    public void Feature_InterpretationSwitchedOffByTheFile_MachineStillBelievesInIt()
    {
        ZpciVfioPciDevice device = Negotiating();
        using VfioDeviceFile file = _rig.Open(device);
        Assert.Equal(Errno.None, Set(file, NegotiatedAssists.Interrupts, S390Rig.Call(device.Zpci!)));
        KvmZdev tie = Assert.Single(_rig.Vm.Zpci.All);
        Assert.Equal(Errno.None, Set(file, NegotiatedAssists.Interpretation, default(ZpciInterpretation)));
        Assert.True(tie.IsInterpreted);
        Assert.NotNull(tie.Interrupts);
        Assert.Equal(2, _rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Equal(0u, device.Zpci!.Designation);
        Assert.False(device.Zpci.Signal(0));
    }

    /// <summary>The final design: the file knows none of it, the machine has it while the device is open.</summary>
    [Fact]
    [Trait("Row", "S0-12")]
    public void Final_DeviceFile_HasNoSuchFeatureAndTheMachineHasTheOperation()
    {
        ZpciVfioPciDevice device = _rig.AddFunction();
        using VfioDeviceFile file = _rig.Open(device);
        foreach (VfioFeature feature in Features)
        {
            Assert.Equal(Errno.ENOTTY, Call(file, feature, VfioFeatureFlags.Set, new byte[KvmS390ZpciOp.Length]));
        }

        Assert.Equal(Errno.None, _rig.Operate(S390Rig.Call(device.Zpci!)));
    }

    private ZpciVfioPciDevice Negotiating() => _rig.AddFunction(make: static (name, hardware, group, zpci) => new NegotiatedAssists(name, hardware, group, zpci));

    private static Errno Set<T>(VfioDeviceFile file, VfioFeature feature, T value)
        where T : unmanaged => Call(file, feature, VfioFeatureFlags.Set, MemoryMarshal.AsBytes(new Span<T>(ref value)));

    private static Errno Get<T>(VfioDeviceFile file, VfioFeature feature, ref T value)
        where T : unmanaged => Call(file, feature, VfioFeatureFlags.Get, MemoryMarshal.AsBytes(new Span<T>(ref value)));

    private static Errno Call(VfioDeviceFile file, VfioFeature feature, VfioFeatureFlags operation, Span<byte> data)
    {
        byte[] bytes = new byte[VfioDeviceFeature.Length + data.Length];
        MemoryMarshal.Write(bytes, new VfioDeviceFeature { ArgumentSize = (uint)bytes.Length, Flags = (VfioFeatureFlags)feature | operation });
        data.CopyTo(bytes.AsSpan(VfioDeviceFeature.Length));
        Errno errno = ErrnoOf(() => Assert.Equal(0, file.Ioctl((uint)VfioDeviceRequest.Feature, bytes)));
        bytes.AsSpan(VfioDeviceFeature.Length).CopyTo(data);
        return errno;
    }
}
