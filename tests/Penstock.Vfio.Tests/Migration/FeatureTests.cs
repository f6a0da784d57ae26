using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class FeatureTests
{
    [Fact]
    [Trait("Row", "F1")]
    public void Feature_HeaderThatCannotBe_EINVAL()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Span<byte> data = stackalloc byte[8];
        Assert.Equal(Errno.EINVAL, rig.File.Call(VfioFeature.Migration, Feature.Get, data, argsz: 7));
        Assert.Equal(Errno.EINVAL, rig.File.Call(VfioFeature.Migration, Feature.Get | (VfioFeatureFlags)0x80000, data));
        Assert.Equal(Errno.EINVAL, rig.File.Call(VfioFeature.MigrationDeviceState, Feature.Get | Feature.Set, data));
        Assert.Equal(Errno.EINVAL, rig.File.Call(VfioFeature.Migration, VfioFeatureFlags.None, data));

        // The same before the feature is looked for at all.
        Assert.Equal(Errno.EINVAL, rig.File.Call((VfioFeature)999, Feature.Get | Feature.Set, data));
        Assert.Equal(Errno.ENOTTY, rig.File.Call((VfioFeature)999, VfioFeatureFlags.None, data));
    }

    [Fact]
    public void Feature_StructureThatIsNotThere_EFAULT()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.EFAULT, rig.File.Call(VfioFeature.Migration, Feature.Get, default, argsz: 16));
        Assert.Equal(Errno.EFAULT, Assert.Throws<VfioException>(() => rig.File.Ioctl((uint)VfioDeviceRequest.Feature, [8, 0, 0, 0])).Errno);
    }

    [Fact]
    [Trait("Row", "F2")]
    public void Probe_SetOnlyFeature_KnowsItsOperations()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationPrecopyInfo2, Feature.Probe));
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationPrecopyInfo2, Feature.Probe | Feature.Set));
        Assert.Equal(Errno.EINVAL, rig.File.Call(VfioFeature.MigrationPrecopyInfo2, Feature.Probe | Feature.Get));
    }

    [Fact]
    public void Probe_Anything_DoesNothing()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        var state = new VfioFeatureMigrationState { DeviceState = MigrationState.StopCopy, DataDescriptor = 55 };
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationDeviceState, Feature.Probe | Feature.Set | Feature.Get, ref state));
        Assert.Equal(55, state.DataDescriptor);
        Assert.Equal(MigrationState.Running, rig.File.GetState());

        // Nor does a probe need the data.
        Assert.Equal(Errno.None, rig.File.Call(VfioFeature.MigrationDeviceState, Feature.Probe | Feature.Set));
    }

    [Theory]
    [Trait("Row", "F3")]
    [InlineData(VfioFeature.PciVfToken)]
    [InlineData(VfioFeature.Migration)]
    [InlineData(VfioFeature.MigrationDeviceState)]
    [InlineData(VfioFeature.DmaLoggingStart)]
    [InlineData(VfioFeature.DmaLoggingStop)]
    [InlineData(VfioFeature.DmaLoggingReport)]
    [InlineData(VfioFeature.MigrationDataSize)]
    [InlineData(VfioFeature.BusMaster)]
    [InlineData(VfioFeature.MigrationPrecopyInfo2)]
    [InlineData((VfioFeature)14)]
    public void Probe_AbsentFeature_ENOTTY(VfioFeature feature)
    {
        using var rig = new MovableRig(new MovableDevice());
        Assert.Equal(Errno.ENOTTY, rig.File.Call(feature, Feature.Probe));
        Assert.Equal(Errno.ENOTTY, rig.File.Call(feature, Feature.Probe | Feature.Get | Feature.Set));
        Assert.Equal(Errno.ENOTTY, rig.File.Call(feature, Feature.Get));
        Assert.Equal(Errno.ENOTTY, rig.File.Call(feature, VfioFeatureFlags.None));
    }

    [Fact]
    [Trait("Row", "F4")]
    public void Feature_DriverWithoutHandler_ENOTTY()
    {
        using var rig = new MovableRig(new MovableDevice());
        Assert.Equal(Errno.ENOTTY, rig.File.Call(VfioFeature.LowPowerEntry, Feature.Set));
        Assert.Equal(Errno.ENOTTY, rig.File.Call(VfioFeature.LowPowerEntry, Feature.Probe));
    }

    [Theory]
    [Trait("Row", "F5")]
    [InlineData(VfioFeature.Migration, VfioFeatureFlags.Get)]
    [InlineData(VfioFeature.MigrationDeviceState, VfioFeatureFlags.Get)]
    [InlineData(VfioFeature.MigrationDeviceState, VfioFeatureFlags.Set)]
    [InlineData(VfioFeature.MigrationDataSize, VfioFeatureFlags.Get)]
    public void Feature_NoRoomForData_EINVAL(VfioFeature feature, VfioFeatureFlags operation)
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration());
        Span<byte> data = stackalloc byte[8];
        Assert.Equal(Errno.EINVAL, rig.File.Call(feature, operation, data, argsz: 8));
        Assert.Equal(Errno.EINVAL, rig.File.Call(feature, operation, data, argsz: 15));
    }

    [Fact]
    [Trait("Row", "F11")]
    public void PrecopyInfo2_DeviceWithoutPreCopy_EINVAL()
    {
        using MovableRig rig = MovableRig.With(new ScriptedMigration(MigrationFlags.StopCopy | MigrationFlags.P2P));
        Assert.Equal(Errno.EINVAL, rig.File.Call(VfioFeature.MigrationPrecopyInfo2, Feature.Set));
    }

    [Fact]
    [Trait("Row", "F12")]
    public void ZpciError_NotS390_ENOTTY()
    {
        using var rig = new MovableRig(new MovableDevice());
        ulong pointer = 0;
        Assert.Equal(Errno.ENOTTY, rig.File.Call(VfioFeature.ZpciError, Feature.Get, ref pointer));
        Assert.Equal(Errno.ENOTTY, rig.File.Call(VfioFeature.ZpciError, Feature.Probe));
    }
}
