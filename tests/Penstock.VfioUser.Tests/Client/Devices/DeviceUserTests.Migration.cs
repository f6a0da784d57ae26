using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

// Migration and DMA logging.
public abstract partial class DeviceUserTests
{
    [Fact]
    public void Migration_StateMovesToAnotherDevice()
    {
        byte[] state;
        using (DeviceRig source = Open(new EduFunction()))
        {
            source.Enable();
            source.Write32(Bar, 4, 0x77);
            source.Write(Bar, 0x40000, DmaWire.Pattern(1, 4096));
            Assert.True((source.File.GetMigrationFlags() & MigrationFlags.StopCopy) != 0);
            Assert.Equal(MigrationState.Running, source.File.GetMigrationState());
            Assert.True(source.File.GetMigrationDataSize() > 0);
            state = Save(source);
            AssertErrno(Errno.EINVAL, () => source.File.SetMigrationState(MigrationState.Error));
            Assert.Null(source.File.SetMigrationState(MigrationState.Running));
        }

        using DeviceRig target = Open(new EduFunction());
        using (MigrationDataFile file = target.File.SetMigrationState(MigrationState.Resuming)!)
        {
            Assert.Equal((Errno.EBADF, 0), (file.Read(new byte[1], out int read), read));
            Assert.Equal((Errno.None, state.Length), (file.Write(state, out int written), written));
            Assert.Null(target.File.SetMigrationState(MigrationState.Running));
            Assert.Equal(Errno.ENODEV, file.Write([1], out _));
        }

        Assert.Equal(~0x77u, target.Read32(Bar, 4));
        Assert.Equal(DmaWire.Pattern(1, 4096), target.Read(Bar, 0x40000, 4096));
    }

    [Fact]
    public void Migration_BrokenState_LeadsToErrorAndAResetOut()
    {
        using DeviceRig rig = Open(new EduFunction());
        using (MigrationDataFile file = rig.File.SetMigrationState(MigrationState.Resuming)!)
        {
            AssertErrno(Errno.EINVAL, () => rig.File.SetMigrationState(MigrationState.Running));
            Assert.Equal(Errno.ENODEV, file.Write([1], out _));
        }

        Assert.Equal(MigrationState.Error, rig.File.GetMigrationState());
        rig.File.Reset();
        Assert.Equal(MigrationState.Running, rig.File.GetMigrationState());
    }

    [Fact]
    public void Migration_DataWhileTheDeviceRuns_GoesOnWhenItStops()
    {
        using DeviceRig rig = Open(new MovableFunction());
        using MigrationDataFile file = rig.File.SetMigrationState(MigrationState.PreCopy)!;
        VfioPrecopyFlags flags = default;
        Assert.True(file.GetPrecopyInfo(ref flags).Initial > 0);
        byte[] data = new byte[1 << 20];
        ulong early = 0;
        while (file.Read(data, out int read) == Errno.None && read != 0)
        {
            early += (ulong)read;
        }

        Assert.Equal(Errno.ENOMSG, file.Read(data, out _));
        Assert.Equal(0ul, file.GetPrecopyInfo(ref flags).Initial);
        Assert.Null(rig.File.SetMigrationState(MigrationState.StopCopy));
        AssertErrno(Errno.EINVAL, () => file.GetPrecopyInfo(ref flags));
        while (file.Read(data, out int read) == Errno.None && read != 0)
        {
            early += (ulong)read;
        }

        Assert.True(early >= MovableFunction.StorageSize, $"{early}");
        Assert.Equal((Errno.None, 0), (file.Read(data, out int end), end));
        rig.File.SetMigrationState(MigrationState.Running);
        Assert.Equal(Errno.ENODEV, file.Read(data, out _));
    }

    [Fact]
    public void Migration_Reset_EndsTheFile()
    {
        using DeviceRig rig = Open(new MovableFunction());
        using MigrationDataFile file = rig.File.SetMigrationState(MigrationState.StopCopy)!;
        Assert.Equal(Errno.None, file.Read(new byte[16], out _));
        rig.File.Reset();
        Assert.Equal(Errno.ENODEV, file.Read(new byte[16], out _));
        Assert.Equal(MigrationState.Running, rig.File.GetMigrationState());
    }

    [Fact]
    public void Logging_TellsWhatTheDeviceWrote()
    {
        using DeviceRig rig = Open(new EduFunction());
        rig.Enable();
        Assert.True(rig.File.HasDmaLogging);
        byte[] bits = new byte[32];
        AssertErrno(Errno.EINVAL, () => rig.File.ReportDmaLogging(Iova, Size, 4096, bits));
        MappedMemory memory = rig.FileMemory(Size);
        var second = ProcessMemory.Allocate(Size);
        rig.Map(Iova, Size / 2, memory);
        rig.Map(Iova + (Size / 2), Size / 2, second);
        Assert.Equal(4096ul, rig.File.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = Size }], 4096));
        AssertErrno(Errno.EINVAL, () => rig.File.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = Size }], 4096));
        Transfer(rig, 0x40000, Iova + 0x3000, 16, ToMemory);
        Transfer(rig, 0x40000, Iova + (Size / 2) + 0x1800, 4096, ToMemory);
        Transfer(rig, Iova, 0x40000, 16, FromMemory);
        rig.File.ReportDmaLogging(Iova, Size, 4096, bits);
        Assert.Equal([3, 129, 130], SetIn(bits));
        bits.AsSpan().Clear();
        rig.File.ReportDmaLogging(Iova, Size, 4096, bits);
        Assert.Empty(SetIn(bits));

        // What was written before an unmap is not lost with it.
        Transfer(rig, 0x40000, Iova + 0x5000, 16, ToMemory);
        rig.Unmap(Iova, Size / 2);
        rig.File.ReportDmaLogging(Iova, Size, 4096, bits);
        Assert.Equal([5], SetIn(bits));
        rig.File.StopDmaLogging();
        AssertErrno(Errno.EINVAL, () => rig.File.ReportDmaLogging(Iova, Size, 4096, bits));
        memory.Release();
        second.Release();
    }

    private static byte[] Save(DeviceRig rig)
    {
        using MigrationDataFile file = rig.File.SetMigrationState(MigrationState.StopCopy)!;
        var all = new List<byte>();
        byte[] part = new byte[1000];
        while (file.Read(part, out int read) == Errno.None && read != 0)
        {
            all.AddRange(part[..read]);
        }

        Assert.NotEmpty(all);
        return [.. all];
    }

    private static int[] SetIn(byte[] bits) => [.. Enumerable.Range(0, bits.Length * 8).Where(i => (bits[i / 8] & (1 << (i % 8))) != 0)];
}
