using Penstock.Hypervisor.Tests.S390.Nesting;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>A tapped device's group, between its user's mappings and the guest's tables.</summary>
public sealed class GroupTablesTests : IDisposable
{
    private const ulong Data = 8ul << 20;

    private readonly NestingRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(RpcitPath.Shadow)]
    [InlineData(RpcitPath.Nested)]
    [Trait("Row", "S3-8")]
    public void Lose_EndsWhatIsLent_AndNothingIsLentBeforeItIsKnown(RpcitPath path)
    {
        using var contained = new ContainedDevice(_rig.Rig.Host);
        (IommuGroup group, DmaPort port) = (contained.Group, contained.Port);
        using var channel = new TapChannel();
        using var tables = new GroupTables();
        tables.Join(_rig.Rig.Host, group, _rig.Memory);
        _rig.Tables.Map(NestingRig.Iova, Data);

        // Nothing to end: QEMU removes what is not there yet as well.
        tables.Lose();
        tables.EndLoss();
        Assert.Null(tables.Lend(path, _rig.Tables.Registration(), channel));
        Assert.Equal(Errno.None, port.Read(NestingRig.Iova, new byte[8]));

        tables.Lose();
        Assert.False(group.IsLent);
        Assert.Equal(Errno.EFAULT, port.Read(NestingRig.Iova, new byte[8]));
        Assert.Contains("QEMU", tables.Lend(path, _rig.Tables.Registration(), channel), StringComparison.Ordinal);
        Assert.False(group.IsLent);

        tables.EndLoss();
        Assert.Null(tables.Lend(path, _rig.Tables.Registration(), channel));
        Assert.Equal(Errno.None, port.Read(NestingRig.Iova, new byte[8]));
        tables.TakeBack();
        contained.File.UnsetContainer();
    }
}
