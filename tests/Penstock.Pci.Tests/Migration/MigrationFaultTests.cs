using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.Vfio.Tests;

namespace Penstock.Pci.Tests;

/// <summary>Functions that fail, and resets that come at a bad time: what GET shows is what the device does.</summary>
public sealed class MigrationFaultTests
{
    [Fact]
    [Trait("Row", "M16")]
    public void Reset_DuringSetThatLoads_FinishesRunningWithTheRegistersOfAfterReset()
    {
        using var source = new MigrationRig();
        MigrateTests.Fill(source);
        byte[] stream = MigrateTests.Save(source);
        using var rig = new MigrationRig();
        using var inReset = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        using MigrationDataFile to = rig.File.SetMigrationState(MigrationState.Resuming)!;
        Assert.Equal(Errno.None, to.Write(stream, out _));
        rig.Counter.OnReset = () =>
        {
            rig.Counter.OnReset = null;
            inReset.Set();
            Assert.True(goOn.Wait(TimeSpan.FromMinutes(2)));
        };
        var reset = new Thread(rig.File.Reset);
        reset.Start();
        Assert.True(inReset.Wait(TimeSpan.FromMinutes(2)));

        // The reset has the strand; the change of state waits for it.
        Errno set = Errno.None;
        var setting = new Thread(() => set = Move(rig, MigrationState.Stop, out _));
        setting.Start();
        int waits = 0;
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                Thread.Sleep(5);
                waits = (setting.ThreadState & ThreadState.WaitSleepJoin) != 0 ? waits + 1 : 0;
                return waits == 20;
            },
            TimeSpan.FromMinutes(2)));
        goOn.Set();
        Assert.True(reset.Join(TimeSpan.FromMinutes(2)));
        Assert.True(setting.Join(TimeSpan.FromMinutes(2)));
        Assert.Equal(Errno.EINVAL, set);
        Assert.Equal(MigrationState.Running, Get(rig));
        Assert.Equal(Errno.ENODEV, to.Write([1], out _));
        Assert.Equal((ulong[])[0, 0, 0, 0], rig.Counter.Values);
        Assert.False(rig.Counter.Memory.ContainsAnyExcept((byte)0));
        Assert.Equal(Errno.None, rig.Counter.Port.Dma.Write(0, new byte[4]));
    }

    [Theory]
    [Trait("Row", "M6")]
    [InlineData(MigrationFlags.All, MigrationState.RunningP2P, Errno.EBUSY)]
    [InlineData(MigrationFlags.StopCopy, MigrationState.Running, Errno.None)]
    public void Set_FunctionFailsInTheMiddle_DeviceDoesWhatTheReachedStateSays(MigrationFlags flags, MigrationState reached, Errno dma)
    {
        using var rig = new MigrationRig(new CounterFunction(flags));
        EventDescriptor[] events = Events.Make(4);
        Bind(rig, events);
        rig.Counter.OnActivity = static a => Assert.NotEqual(DeviceActivity.Stopped, a);
        Assert.Equal(Errno.EIO, Move(rig, MigrationState.StopCopy, out int descriptor));
        Assert.Equal(-1, descriptor);
        Assert.Equal(reached, Get(rig));
        Assert.Equal(dma, rig.Counter.Port.Dma.Write(0, new byte[4]));
        rig.Counter.Port.SignalVector(1);
        Assert.Equal((ulong[])[0, 1, 0, 0], events.Counts());

        // The function was told to step back, and goes on from there.
        Assert.Equal(reached == MigrationState.Running ? DeviceActivity.Running : DeviceActivity.Responding, rig.Counter.Activities[^1]);
        Assert.Equal(Errno.None, Move(rig, MigrationState.Running, out _));
        AssertRuns(rig);
    }

    [Fact]
    public void Set_FunctionFailsToStepBackToo_ErrorUntilReset()
    {
        using var rig = new MigrationRig();
        rig.Counter.OnActivity = static _ => throw new InvalidOperationException("a bug");
        Assert.Equal(Errno.EIO, Move(rig, MigrationState.Stop, out _));
        Assert.Equal(MigrationState.Error, rig.File.GetMigrationState());
        Assert.Equal(Errno.EINVAL, Move(rig, MigrationState.Running, out _));
        rig.Counter.OnActivity = null;
        rig.File.Reset();
        Assert.Equal(MigrationState.Running, rig.File.GetMigrationState());
        AssertRuns(rig);
    }

    [Fact]
    public void Close_AsleepAndFunctionFailsToWake_NextUserFindsNothingOfIt()
    {
        using var rig = new MigrationRig();
        ulong page = 4096;
        Assert.Equal(Errno.None, rig.File.StartLogging(ref page, LoggingFeature.Range(0, 1 << 16)));
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.LowPowerEntry, VfioFeatureFlags.Set));
        rig.Counter.OnActivity = static a => Assert.NotEqual(DeviceActivity.Running, a);
        rig.File.Dispose();
        Assert.Contains(rig.Log, static l => l.Contains("change of activity failed", StringComparison.Ordinal));
        rig.Counter.OnActivity = null;
        using VfioDeviceFile next = rig.GroupFile.OpenDevice(rig.Device.Name);
        Assert.Equal(Errno.EINVAL, next.Report(0, 4096, 4096, new ulong[1]));
        Assert.Equal(MigrationState.Running, next.GetMigrationState());
        Assert.Equal(Errno.None, next.Call(VfioFeature.LowPowerEntry, VfioFeatureFlags.Set));
        Assert.Equal(Errno.None, next.Call(VfioFeature.LowPowerExit, VfioFeatureFlags.Set));
        AssertRuns(rig);
    }

    [Fact]
    public void Call_AsleepAndFunctionFailsToWake_IsDoneAndTheDeviceSleepsAgain()
    {
        using var rig = new MigrationRig();
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.LowPowerEntry, VfioFeatureFlags.Set));
        rig.Counter.OnActivity = static _ => throw new InvalidOperationException("a bug");
        Assert.Equal(0ul, rig.Read(0, 8));
        Assert.Equal(Errno.EBUSY, rig.Counter.Port.Dma.Write(0, new byte[4]));
        rig.Counter.OnActivity = null;
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.LowPowerExit, VfioFeatureFlags.Set));
        AssertRuns(rig);
    }

    [Fact]
    public void FallAsleep_StoppedAndInD3_StaysStopped()
    {
        using var rig = new MigrationRig();
        rig.File.SetMigrationState(MigrationState.Stop);
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 0x44, [3, 0], out _));
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.LowPowerEntry, VfioFeatureFlags.Set));
        Assert.Equal(MigrationState.Stop, rig.File.GetMigrationState());
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.LowPowerExit, VfioFeatureFlags.Set));
        Assert.Equal(Errno.EBUSY, rig.Counter.Port.Dma.Write(0, new byte[4]));
    }

    [Fact]
    public void Load_ResetOfFunctionFails_ErrorAndNothingLoaded()
    {
        using var source = new MigrationRig();
        MigrateTests.Fill(source);
        byte[] stream = MigrateTests.Save(source);
        using var rig = new MigrationRig();
        using MigrationDataFile to = rig.File.SetMigrationState(MigrationState.Resuming)!;
        Assert.Equal(Errno.None, to.Write(stream, out _));
        rig.Counter.OnReset = static () => throw new InvalidOperationException("a bug");
        Assert.Equal(Errno.EINVAL, Move(rig, MigrationState.Stop, out _));
        Assert.Equal(MigrationState.Error, rig.File.GetMigrationState());
        Assert.Equal((ulong[])[0, 0, 0, 0], rig.Counter.Values);
    }

    [Fact]
    public async Task Load_WorkOfBeforeWaits_IsNotDoneAfterwards()
    {
        using var source = new MigrationRig();
        byte[] stream = MigrateTests.Save(source);
        using var rig = new MigrationRig();
        using MigrationDataFile to = rig.File.SetMigrationState(MigrationState.Resuming)!;
        ValueTask<Errno> waits = rig.Counter.Port.Dma.WriteAsync(0x4000, (byte[])[1, 2, 3]);
        Assert.False(waits.IsCompleted);
        Assert.Equal(Errno.None, to.Write(stream, out _));
        Assert.Equal(Errno.None, Move(rig, MigrationState.Running, out _));
        Assert.Equal(Errno.ECANCELED, await waits.AsTask().WaitAsync(TimeSpan.FromMinutes(2)));
        Assert.Equal(0, rig.Guest[0x4000]);
        AssertRuns(rig);
    }

    [Fact]
    public void Save_FirstPageChangesAllTheTime_OthersStillGo()
    {
        using var rig = new MigrationRig();
        using MigrationDataFile from = rig.File.SetMigrationState(MigrationState.PreCopy)!;
        MigrationRig.ReadAll(from);
        rig.Write(1, 0, 1);
        rig.Write(1, 9000, 1);
        Assert.Equal(0ul, ReadOffset(from));
        rig.Write(1, 0, 2);
        Assert.Equal(8192ul, ReadOffset(from));
        Assert.Equal(0ul, ReadOffset(from));
        Assert.Equal(Errno.ENOMSG, from.Read(new byte[1], out _));
    }

    [Fact]
    public void Create_MigratableFunctionWithMappedBar_Refused()
    {
        using var rig = new MigrationRig();
        ProcessMemory memory = ProcessMemory.Allocate(0x1000);
        var function = new CounterFunction(bar: new PciBar(3, PciBarKind.Memory32, 0x1000) { Memory = memory });
        ArgumentException refused = Assert.Throws<ArgumentException>(() => new VfioPciCoreDevice("0000:02:00.0", function, rig.Device.Group!));
        Assert.Contains("BAR 3", refused.Message, StringComparison.Ordinal);
        memory.Release();
    }

    [Fact]
    [Trait("Row", "F12")]
    public void ZpciError_PciDeviceNotS390_ENOTTY()
    {
        using var rig = new MigrationRig();
        ulong pointer = 0;
        Assert.Equal(Errno.ENOTTY, rig.File.Call(VfioFeature.ZpciError, VfioFeatureFlags.Get, ref pointer));
        Assert.Equal(Errno.ENOTTY, rig.File.Call(VfioFeature.ZpciError, VfioFeatureFlags.Probe));
    }

    private static Errno Move(MigrationRig rig, MigrationState state, out int descriptor)
    {
        var data = new VfioFeatureMigrationState { DeviceState = state, DataDescriptor = 77 };
        Errno errno = rig.File.Call(VfioFeature.MigrationDeviceState, VfioFeatureFlags.Set, ref data);
        descriptor = data.DataDescriptor;
        return errno;
    }

    private static MigrationState Get(MigrationRig rig)
    {
        var data = default(VfioFeatureMigrationState);
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationDeviceState, VfioFeatureFlags.Get, ref data));
        return data.DeviceState;
    }

    /// <summary>Reads one record of memory; tells where it lies.</summary>
    private static ulong ReadOffset(MigrationDataFile from)
    {
        byte[] head = new byte[8];
        Assert.Equal(Errno.None, from.Read(head, out int read));
        Assert.Equal(head.Length, read);
        Assert.Equal(3, head[0]);
        byte[] payload = new byte[BitConverter.ToInt32(head, 4)];
        Assert.Equal(Errno.None, from.Read(payload, out read));
        Assert.Equal(payload.Length, read);
        return BitConverter.ToUInt64(payload, 1 + "counter".Length + 1 + "memory".Length);
    }

    private static void AssertRuns(MigrationRig rig)
    {
        Assert.Equal(Errno.None, rig.Counter.Port.Dma.Write(0, new byte[4]));
        using var ran = new ManualResetEventSlim();
        rig.Counter.Port.Dma.Post(() => ran.Set());
        Assert.True(ran.Wait(TimeSpan.FromMinutes(2)));
    }

    private static void Bind(MigrationRig rig, EventDescriptor[] events) => rig.File.SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Index = VfioIrqs.Msix,
        Count = (uint)events.Length,
        Events = events,
    });
}
