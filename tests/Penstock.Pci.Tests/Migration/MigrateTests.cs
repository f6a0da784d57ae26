using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

public sealed class MigrateTests
{
    [Theory]
    [Trait("Row", "M13")]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    [InlineData(1 << 20)]
    public void Migrate_AnySplit_DestinationEqualsSource(int split)
    {
        using var source = new MigrationRig();
        Fill(source);
        using MigrationDataFile from = source.File.SetMigrationState(MigrationState.StopCopy)!;
        byte[] stream = MigrationRig.ReadAll(from, Math.Min(split, 1 << 16));

        using var destination = new MigrationRig();
        using MigrationDataFile to = destination.File.SetMigrationState(MigrationState.Resuming)!;
        for (int at = 0; at < stream.Length; at += split)
        {
            Assert.Equal(Errno.None, to.Write(stream.AsSpan(at, Math.Min(split, stream.Length - at)), out _));
        }

        Assert.Null(destination.File.SetMigrationState(MigrationState.Stop));
        Assert.Null(destination.File.SetMigrationState(MigrationState.Running));
        AssertEqual(source, destination);
    }

    internal static void Fill(MigrationRig rig)
    {
        new Random(7).NextBytes(rig.Counter.Memory);
        rig.Write(0, 0, 0x0123_4567_89ab_cdef);
        rig.Write(0, 8, 42);
        rig.Write(0, 16, 43);
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 0x10, [0, 0, 0xcd, 0xab], out _));
    }

    internal static void AssertEqual(MigrationRig source, MigrationRig destination)
    {
        Assert.Equal(source.Counter.Values, destination.Counter.Values);
        Assert.True(source.Counter.Memory.SequenceEqual(destination.Counter.Memory));
        byte[] config = new byte[256];
        byte[] other = new byte[256];
        Assert.Equal(Errno.None, source.File.Read(VfioRegions.Config, 0, config, out _));
        Assert.Equal(Errno.None, destination.File.Read(VfioRegions.Config, 0, other, out _));
        Assert.Equal(config, other);
    }
}
