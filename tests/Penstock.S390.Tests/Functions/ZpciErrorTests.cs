using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Functions;

/// <summary>Error events that are left to the user of a device.</summary>
public sealed class ZpciErrorTests
{
    [Fact]
    public void Report_DeviceNotOpen_RecoveryIsTheHosts()
    {
        using var rig = new ZpciRig();
        Assert.False(rig.Device.ReportError(Event(1)));
        using VfioDeviceFile file = rig.Open();
        Assert.Equal(Errno.ENOMSG, Get(file, out _));
    }

    [Fact]
    public void Get_SeveralReported_OldestFirstAndNoMoreThanFour()
    {
        using var rig = new ZpciRig();
        using VfioDeviceFile file = rig.Open();
        using var told = EventDescriptor.Create();
        file.SetIrqs(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Err,
            Count = 1,
            Events = new EventDescriptor?[] { told },
        });
        for (byte i = 1; i <= 6; i++)
        {
            Assert.True(rig.Device.ReportError(Event(i)));
        }

        Assert.True(told.TryDrain(out ulong signals));
        Assert.Equal(6ul, signals);
        for (byte i = 1; i <= 4; i++)
        {
            Assert.Equal(Errno.None, Get(file, out byte[] found));
            Assert.Equal(Event(i), found);
        }

        Assert.Equal(Errno.ENOMSG, Get(file, out _));
    }

    [Fact]
    public void Get_BadBuffer_EINVALOrEFAULTAndTheEventStays()
    {
        using var rig = new ZpciRig();
        using VfioDeviceFile file = rig.Open();
        rig.Device.ReportError(Event(9));
        Assert.Equal(Errno.EINVAL, Call(file, VfioFeatureFlags.Get, 0));
        Assert.Equal(Errno.EFAULT, Call(file, VfioFeatureFlags.Get, 8));
        Assert.Equal(Errno.EINVAL, Call(file, VfioFeatureFlags.Set, 8));
        Assert.Equal(Errno.None, Call(file, VfioFeatureFlags.Probe | VfioFeatureFlags.Get, 0));
        Assert.Equal(Errno.None, Get(file, out byte[] found));
        Assert.Equal(Event(9), found);
    }

    [Fact]
    public void Close_EventsLeft_TheNextUserSeesNone()
    {
        using var rig = new ZpciRig();
        using (rig.Open())
        {
            Assert.True(rig.Device.ReportError(Event(1)));
        }

        using VfioDeviceFile next = rig.Open();
        Assert.Equal(Errno.ENOMSG, Get(next, out _));
    }

    [Fact]
    public void Open_RegistrationFails_RecoveryIsTheHostsAgain()
    {
        using var rig = new ZpciRig();
        using HookRegistration<IZpciVmHook> installed = rig.Host.Slot<IZpciVmHook>().Install(new FakeZpciHook { Error = Errno.EIO });
        rig.Group.SetHypervisor(rig.Machine);
        Assert.Equal(Errno.EIO, ErrnoOf(() => rig.Open()));
        Assert.False(rig.Device.ReportError(Event(1)));
    }

    [Fact]
    public void Get_NotAZpciFunction_ENODEV()
    {
        using var rig = new ZpciRig(isZpci: false, registers: false);
        using VfioDeviceFile file = rig.Open();
        Assert.Equal(Errno.ENODEV, Get(file, out _));
    }

    [Theory]
    [InlineData(1, 24, null)]
    [InlineData(2, 28, 0x8100_0005u)]
    [InlineData(3, 32, 0x8100_0005u)]
    public void Info_OlderVersion_AbsentValuesAreAbsent(ushort version, int length, uint? handle)
    {
        var basis = new ZpciBaseInfo { StartDma = 1, EndDma = 2, GroupId = 7, Handle = 0x8100_0005 };
        byte[] bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<ZpciBaseInfo>(in basis))[..length].ToArray();
        var info = new VfioDeviceInfo(VfioDeviceFlags.Pci, 9, 5) { Capabilities = [new(ZpciInfoCapability.Base, version, bytes)] };
        ZpciDeviceInfo found = ZpciDeviceInfo.Of(info)!;
        Assert.Equal(handle, found.HostHandle);
        Assert.Equal(7, found.Base.GroupId);
        Assert.Null(found.Group);
        Assert.Null(found.MaximumInterpretedStore);
        Assert.Equal("", found.UtilText);
        Assert.Null(ZpciDeviceInfo.Of(new VfioDeviceInfo(VfioDeviceFlags.Pci, 9, 5)));
    }

    private static byte[] Event(byte value)
    {
        byte[] bytes = new byte[ZpciErrorEventBlock.Length];
        bytes[^1] = value;
        return bytes;
    }

    private static unsafe Errno Get(VfioDeviceFile file, out byte[] found)
    {
        found = new byte[ZpciErrorEventBlock.Length];

        // SAFETY: the buffer stays where it is during the call.
        fixed (byte* buffer = found)
        {
            return Call(file, VfioFeatureFlags.Get, (ulong)buffer);
        }
    }

    private static Errno Call(VfioDeviceFile file, VfioFeatureFlags operation, ulong pointer)
    {
        byte[] call = new byte[VfioDeviceFeature.Length + sizeof(ulong)];
        MemoryMarshal.Write(call, new VfioDeviceFeature
        {
            ArgumentSize = (uint)call.Length,
            Flags = operation | (VfioFeatureFlags)VfioFeature.ZpciError,
        });
        MemoryMarshal.Write(call.AsSpan(VfioDeviceFeature.Length), pointer);
        try
        {
            return file.Ioctl((uint)VfioDeviceRequest.Feature, call) == 0 ? Errno.None : Errno.EIO;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }
}
