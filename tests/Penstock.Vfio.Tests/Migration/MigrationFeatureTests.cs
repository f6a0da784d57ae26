using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class MigrationFeatureTests
{
    [Fact]
    public void Migration_Flags_AreTheDevices()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration(MigrationFlags.StopCopy | MigrationFlags.P2P));
        VfioFeatureMigration flags = default;
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.Migration, Feature.Get, ref flags));
        Assert.Equal(MigrationFlags.StopCopy | MigrationFlags.P2P, flags.Flags);
        VfioFeatureMigrationDataSize size = default;
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationDataSize, Feature.Get, ref size));
        Assert.Equal(1234ul, size.StopCopyLength);
    }

    [Theory]
    [Trait("Row", "M2")]
    [InlineData(0, MigrationFlags.All)]
    [InlineData(8, MigrationFlags.All)]
    [InlineData(uint.MaxValue, MigrationFlags.All)]
    [InlineData(5, MigrationFlags.StopCopy | MigrationFlags.PreCopy)]
    [InlineData(6, MigrationFlags.StopCopy | MigrationFlags.P2P)]
    [InlineData(7, MigrationFlags.StopCopy | MigrationFlags.PreCopy)]
    public void Set_StateThatIsNone_EINVALAndNothingChanges(uint state, MigrationFlags flags)
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration(flags));
        Assert.Equal(Errno.EINVAL, rig.File.SetState((MigrationState)state, out int descriptor));
        Assert.Equal(-1, descriptor);
        Assert.Equal(MigrationState.Running, rig.File.GetState());
    }

    [Theory]
    [Trait("Row", "M3")]
    [InlineData(MigrationState.Running)]
    [InlineData(MigrationState.RunningP2P)]
    [InlineData(MigrationState.Stop)]
    [InlineData(MigrationState.StopCopy)]
    [InlineData(MigrationState.Resuming)]
    [InlineData(MigrationState.PreCopy)]
    [InlineData(MigrationState.PreCopyP2P)]
    public void Set_StateThatItHas_NothingAndNoFile(MigrationState state)
    {
        var script = new ScriptedMigration();
        using MovableRig rig = MovableRig.With(script);
        Assert.Equal(Errno.None, rig.File.SetState(state, out int first));
        script.Activities.Clear();
        Assert.Equal(Errno.None, rig.File.SetState(state, out int descriptor));
        Assert.Equal(-1, descriptor);
        Assert.Empty(script.Activities);
        Assert.True(first == -1 || !rig.Data(first).IsDead);
    }

    [Fact]
    [Trait("Row", "M4")]
    public void Set_PreCopyFromStopCopy_EINVALAndStateKept()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.StopCopy, out int data));
        Assert.Equal(Errno.EINVAL, rig.File.SetState(MigrationState.PreCopy, out int descriptor));
        Assert.Equal(-1, descriptor);
        Assert.Equal(MigrationState.StopCopy, rig.File.GetState());
        Assert.False(rig.Data(data).IsDead);
    }

    [Fact]
    [Trait("Row", "M5")]
    public void Set_FromPreCopyToStopCopy_OneFileForAll()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopy, out int data));
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.PreCopyP2P, out int none));
        Assert.Equal(-1, none);
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.StopCopy, out none));
        Assert.Equal(-1, none);
        Span<byte> bytes = stackalloc byte[100];
        Assert.Equal(Errno.None, rig.Data(data).Read(bytes, out int read));
        Assert.Equal(10, read);
        Assert.Equal(Errno.None, rig.Data(data).Read(bytes, out read));
        Assert.Equal(3, read);
    }

    [Fact]
    public void Set_DriverFailsInTheMiddle_ErrorNoFileAndReachedState()
    {
        var script = new ScriptedMigration
        {
            OnActivity = static a =>
            {
                if (a == DeviceActivity.Stopped)
                {
                    throw new VfioException(Errno.EBUSY, "stopping", "the test wants it");
                }
            },
        };
        using MovableRig rig = MovableRig.With(script);
        Assert.Equal(Errno.EBUSY, rig.File.SetState(MigrationState.StopCopy, out int descriptor));
        Assert.Equal(-1, descriptor);
        Assert.Equal(MigrationState.RunningP2P, rig.File.GetState());
    }

    [Fact]
    public void Set_DriverThrowsAnything_EIO()
    {
        var script = new ScriptedMigration { OnActivity = static _ => throw new InvalidOperationException("a bug") };
        using MovableRig rig = MovableRig.With(script);
        Assert.Equal(Errno.EIO, rig.File.SetState(MigrationState.Stop, out _));
    }

    [Fact]
    [Trait("Row", "M7")]
    public void Error_OnlyResetLeadsOut()
    {
        var script = new ScriptedMigration { OnFinish = static () => throw new VfioException(Errno.EINVAL, "loading", "rubbish") };
        using MovableRig rig = MovableRig.With(script);
        Assert.Equal(Errno.None, rig.File.SetState(MigrationState.Resuming, out _));
        Assert.Equal(Errno.EINVAL, rig.File.SetState(MigrationState.Stop, out _));
        Assert.Equal(MigrationState.Error, rig.File.GetState());
        for (uint state = 0; state < 9; state++)
        {
            Assert.Equal(Errno.EINVAL, rig.File.SetState((MigrationState)state, out int descriptor));
            Assert.Equal(-1, descriptor);
        }

        Assert.Equal(Errno.None, rig.Reset());
        Assert.Equal(MigrationState.Running, rig.File.GetState());
        Assert.Equal(DeviceActivity.Running, script.Activities[^1]);
    }

    [Fact]
    public async Task Reset_DuringSet_IsDoneAtItsEndWithoutDeadlock()
    {
        using var stopping = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        var script = new ScriptedMigration
        {
            OnActivity = a =>
            {
                if (a == DeviceActivity.Stopped)
                {
                    stopping.Set();
                    Assert.True(goOn.Wait(TimeSpan.FromMinutes(2)));
                }
            },
        };
        using MovableRig rig = MovableRig.With(script);
        int descriptor = 0;
        Task<Errno> setting = Task.Run(() => rig.File.SetState(MigrationState.StopCopy, out descriptor));
        Assert.True(stopping.Wait(TimeSpan.FromMinutes(2)));

        // The reset does not wait for what waits here.
        Assert.Equal(Errno.None, rig.Reset());
        Assert.False(setting.IsCompleted);
        goOn.Set();
        Assert.Equal(Errno.None, await setting.WaitAsync(TimeSpan.FromMinutes(2)));
        Assert.Equal(MigrationState.Running, rig.File.GetState());
        Assert.Equal(DeviceActivity.Running, script.Activities[^1]);
        Assert.Equal(Errno.ENODEV, rig.Data(descriptor).Read(new byte[1], out _));
    }

    [Fact]
    public async Task Reset_AgainstSets_NeverStuckAndConsistent()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        MigrationState[] states = [MigrationState.Stop, MigrationState.StopCopy, MigrationState.PreCopy, MigrationState.Resuming, MigrationState.Running];
        Task setting = Task.Run(() =>
        {
            for (int i = 0; i < 3000; i++)
            {
                rig.File.SetState(states[i % states.Length], out _);
            }
        });
        Task resetting = Task.Run(() =>
        {
            while (!setting.IsCompleted)
            {
                Assert.Equal(Errno.None, rig.Reset());
            }
        });
        await Task.WhenAll(setting, resetting).WaitAsync(TimeSpan.FromMinutes(5));
        Assert.Equal(Errno.None, rig.Reset());
        Assert.Equal(MigrationState.Running, rig.File.GetState());
    }

    [Theory]
    [Trait("Row", "M17")]
    [InlineData(true, false, false, MigrationFlags.All)]
    [InlineData(false, true, false, MigrationFlags.All)]
    [InlineData(false, false, true, MigrationFlags.All)]
    [InlineData(false, false, false, MigrationFlags.P2P | MigrationFlags.PreCopy)]
    public void Register_IncompleteMigration_EINVAL(bool noSet, bool noGet, bool noSize, MigrationFlags flags)
    {
        var device = new MovableDevice
        {
            Moves = new MigrationOperations
            {
                Flags = flags,
                SetState = noSet ? null : static _ => null,
                GetState = noGet ? null : static () => MigrationState.Running,
                GetDataSize = noSize ? null : static () => 0,
            },
        };
        AssertNotRegistered(device);
    }

    [Theory]
    [Trait("Row", "M17")]
    [InlineData(true, false, false)]
    [InlineData(false, true, false)]
    [InlineData(false, false, true)]
    public void Register_IncompleteLogging_EINVAL(bool noStart, bool noStop, bool noReport) => AssertNotRegistered(new MovableDevice
    {
        Logs = new LoggingOperations
        {
            Start = noStart ? null : static (_, page) => page,
            Stop = noStop ? null : static () => { },
            Report = noReport ? null : static (_, _) => { },
        },
    });

    private static void AssertNotRegistered(MovableDevice device)
    {
        using var host = new VfioHost();
        IommuGroup group = host.AddIommuUnit("unit").CreateGroup();
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => host.Register(device, group)).Errno);
        Assert.Empty(host.Devices);
        Assert.Equal(Errno.ENODEV, Assert.Throws<VfioException>(() => host.OpenGroup(group.Number, Caller.Current)).Errno);
    }
}
