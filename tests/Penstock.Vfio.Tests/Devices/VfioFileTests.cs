using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class VfioFileTests
{
    [Fact]
    [Trait("Row", "S4-20")]
    public void VfioFile_GroupOrDeviceFileFromEitherPath_IsTheIdentityOfAnOpenFile()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioDeviceFile first = group.OpenDevice("fake0");
        VfioDeviceFile second = group.OpenDevice("fake0");
        VfioCdevFile cdev = rig.Host.OpenCdev("fake0", Rig.User);
        VfioFile[] files = [group, first, second, cdev];

        // A second open of the same device is another file, and each ends on its own.
        Assert.Equal(4, files.Distinct().Count());
        Assert.All(files, static f => Assert.False(f.IsClosed));
        Assert.All(files, static f => Assert.True(f.IsEnforcedCoherent));
        first.Dispose();
        Assert.Equal([false, true, false, false], files.Select(f => f.IsClosed));
        Array.ForEach(files, static f => f.Dispose());
        Assert.All(files, static f => Assert.True(f.IsClosed));
        container.Dispose();
    }

    [Fact]
    public void IsEnforcedCoherent_UnitCannot_FalseForGroupAndDevice()
    {
        using var rig = new Rig(new IommuUnitOptions { EnforcesCoherency = false });
        (VfioContainer container, VfioGroup group) = rig.Ready(VfioIommuType.Type1);
        using (container)
        using (group)
        using (VfioDeviceFile device = group.OpenDevice("fake0"))
        {
            Assert.False(group.IsEnforcedCoherent);
            Assert.False(device.IsEnforcedCoherent);
        }
    }
}
