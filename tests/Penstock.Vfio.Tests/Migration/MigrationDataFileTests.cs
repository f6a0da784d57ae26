using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>The files of migration data.</summary>
public sealed class MigrationDataFileTests
{
    [Theory]
    [Trait("Row", "M8")]
    [InlineData(MigrationState.StopCopy)]
    [InlineData(MigrationState.PreCopy)]
    [InlineData(MigrationState.Resuming)]
    public void Data_SessionLeft_ENODEV(MigrationState state)
    {
        foreach (bool byReset in (bool[])[false, true])
        {
            using MovableRig rig = MovableRig.With(new ScriptedMigration());
            Assert.Equal(Errno.None, rig.File.SetState(state, out int descriptor));
            MigrationDataFile data = rig.Data(descriptor);
            Assert.Equal(Errno.None, byReset ? rig.Reset() : rig.File.SetState(MigrationState.Running, out _));
            byte[] bytes = new byte[8];
            Errno errno = state == MigrationState.Resuming ? data.Write(bytes, out _) : data.Read(bytes, out _);
            Assert.Equal(Errno.ENODEV, errno);
            if (state != MigrationState.Resuming)
            {
                Assert.Equal(Errno.ENODEV, Assert.Throws<VfioException>(() => data.Ioctl(VfioPrecopyInfo.Request, Info(24))).Errno);
            }

            // The next session is another file.
            Assert.Equal(Errno.None, rig.File.SetState(state, out int next));
            Assert.NotEqual(descriptor, next);
            Assert.True(data.IsDead);
        }
    }

    [Fact]
    [Trait("Row", "M9")]
    public void Data_Drained_ENOMSGWhileItWorksThenEnd()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopy, out int descriptor));
        MigrationDataFile data = rig.Data(descriptor);
        byte[] bytes = new byte[10];
        Assert.Equal(Errno.None, data.Read(bytes, out int read));
        Assert.Equal(10, read);
        Assert.Equal(Errno.ENOMSG, data.Read(bytes, out read));
        Assert.Equal(0, read);
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.StopCopy, out _));
        Assert.Equal(Errno.None, data.Read(bytes, out read));
        Assert.Equal(3, read);
        Assert.Equal(Errno.None, data.Read(bytes, out read));
        Assert.Equal(0, read);
    }

    [Fact]
    public async Task Data_NothingYet_WaitsUnlessNonBlocking()
    {
        var script = new ScriptedMigration();
        using MovableRig rig = MovableRig.With(script);
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopy, out int descriptor));
        MigrationDataFile data = rig.Data(descriptor);
        byte[] bytes = new byte[10];
        Assert.Equal(Errno.None, data.Read(bytes, out _));
        script.Source!.Later = true;
        data.NonBlocking = true;
        Assert.Equal(Errno.EAGAIN, data.Read(bytes, out _));
        data.NonBlocking = false;
        int read = 0;
        Task<Errno> reading = Task.Run(() => data.Read(bytes, out read));
        script.Source.Dirty = 4;
        Assert.Equal(Errno.None, await reading.WaitAsync(TimeSpan.FromMinutes(2)));
        Assert.Equal(4, read);
        reading = Task.Run(() => data.Read(bytes, out _));
        Assert.Equal(Errno.None, rig.Reset());
        Assert.Equal(Errno.ENODEV, await reading.WaitAsync(TimeSpan.FromMinutes(2)));
    }

    [Fact]
    [Trait("Row", "M10")]
    public void Data_Positional_ESPIPE()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.StopCopy, out int descriptor));
        byte[] bytes = new byte[8];
        Assert.Equal(Errno.ESPIPE, rig.Data(descriptor).Read(bytes, 0));
        Assert.Equal(Errno.ESPIPE, rig.Data(descriptor).Write(bytes, 4096));
        Assert.Equal(Errno.EBADF, rig.Data(descriptor).Write(bytes, out _));
        Assert.Equal(Errno.None, rig.Data(descriptor).Read(bytes, out int read));
        Assert.Equal(8, read);
    }

    [Fact]
    [Trait("Row", "M11")]
    public void PrecopyInfo_OtherRequestShortOrStopped_Refused()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopy, out int descriptor));
        MigrationDataFile data = rig.Data(descriptor);
        byte[] info = Info(24);
        Assert.Equal(Errno.ENOTTY, Assert.Throws<VfioException>(() => data.Ioctl((uint)VfioDeviceRequest.GetInfo, info)).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => data.Ioctl(VfioPrecopyInfo.Request, Info(23))).Errno);
        Assert.Equal(0, data.Ioctl(VfioPrecopyInfo.Request, info));
        Assert.Equal((10ul, 0ul), Counts(info));
        Assert.Equal(Errno.None, data.Read(new byte[6], out _));
        Assert.Equal(0, data.Ioctl(VfioPrecopyInfo.Request, info));
        Assert.Equal((4ul, 0ul), Counts(info));
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopyP2P, out _));
        Assert.Equal(0, data.Ioctl(VfioPrecopyInfo.Request, info));
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.StopCopy, out _));
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => data.Ioctl(VfioPrecopyInfo.Request, info)).Errno);
    }

    [Fact]
    [Trait("Row", "M12")]
    public void PrecopyInfo_Flags_OnlyForUsersThatSetFeature12()
    {
        var script = new ScriptedMigration();
        using MovableRig rig = MovableRig.With(script);
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopy, out int descriptor));
        MigrationDataFile data = rig.Data(descriptor);
        script.Source!.Restart = true;
        byte[] info = Info(24, flags: 0xdead);
        Assert.Equal(0, data.Ioctl(VfioPrecopyInfo.Request, info));
        Assert.Equal(0xdeadu, (uint)MemoryMarshal.Read<VfioPrecopyInfo>(info).Flags);
        Assert.Equal((10ul, 0ul), Counts(info));

        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationPrecopyInfo2, Feature.Set));
        script.Source.Dirty = 5;
        Assert.Equal(0, data.Ioctl(VfioPrecopyInfo.Request, info));
        Assert.Equal(VfioPrecopyFlags.Restart, MemoryMarshal.Read<VfioPrecopyInfo>(info).Flags);
        Assert.Equal((20ul, 0ul), Counts(info));
        Assert.Equal(0, data.Ioctl(VfioPrecopyInfo.Request, info));
        Assert.Equal(VfioPrecopyFlags.None, MemoryMarshal.Read<VfioPrecopyInfo>(info).Flags);
    }

    [Fact]
    public void Feature12_NextUser_StartsWithoutIt()
    {
        var script = new ScriptedMigration();
        var device = new MovableDevice { Machine = new VfioMigration("movable", script) };
        var host = new VfioHost();
        IommuGroup group = host.AddIommuUnit("unit").CreateGroup();
        host.Register(device, group);
        for (int user = 0; user < 2; user++)
        {
            using VfioGroup file = host.OpenGroup(group.Number, Caller.Current);
            using VfioContainer container = host.OpenContainer(Caller.Current);
            file.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            using VfioDeviceFile opened = file.OpenDevice(device.Name);
            using MigrationDataFile data = opened.SetMigrationState(MigrationState.PreCopy)!;
            var flags = (VfioPrecopyFlags)0xdead;
            data.GetPrecopyInfo(ref flags);
            Assert.Equal(0xdeadu, (uint)flags);
            opened.AllowMigrationRestarts();
            data.GetPrecopyInfo(ref flags);
            Assert.Equal(VfioPrecopyFlags.None, flags);
        }

        Assert.Equal(MigrationState.Running, device.Machine.State);
    }

    private static byte[] Info(uint size, uint flags = 0)
    {
        byte[] bytes = new byte[24];
        MemoryMarshal.Write(bytes, new VfioPrecopyInfo { ArgumentSize = size, Flags = (VfioPrecopyFlags)flags });
        return bytes;
    }

    private static (ulong Initial, ulong Dirty) Counts(byte[] info)
    {
        VfioPrecopyInfo read = MemoryMarshal.Read<VfioPrecopyInfo>(info);
        return (read.InitialBytes, read.DirtyBytes);
    }
}
