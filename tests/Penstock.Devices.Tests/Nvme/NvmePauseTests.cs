using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Whose an image is while the disk in it does nothing.</summary>
public sealed class NvmePauseTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _path;
    private readonly NvmeRig _rig;

    public NvmePauseTests()
    {
        _path = _folder.File("disk.img");
        _rig = new NvmeRig(backing: FileNvmeBacking.Open(_path, createLength: 1 << 20)).Enable();
    }

    public void Dispose()
    {
        _rig.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(MigrationState.Stop)]
    [InlineData(MigrationState.RunningP2P)]
    [InlineData(MigrationState.PreCopy)]
    public void Image_OfADiskThatIsOnlyPaused_StaysItsOwn(MigrationState state)
    {
        _rig.File.SetMigrationState(state)?.Dispose();
        Assert.Equal(Errno.EBUSY, Assert.Throws<VfioException>(() => FileNvmeBacking.Open(_path)).Errno);
        _rig.File.SetMigrationState(MigrationState.Running);
        _rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, _rig.Pages()));
    }

    [Fact]
    public void Image_OfADiskWhoseStateWasSaved_IsWhoseverWantsIt()
    {
        _rig.SaveState();
        using (FileNvmeBacking.Open(_path))
        {
            // Come back without it: it is not had by two.
            _rig.File.SetMigrationState(MigrationState.Running);
            Assert.Equal(NvmeStatus.NamespaceNotReady, _rig.CreatePair().Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, _rig.Pages())));
        }

        _rig.CreatePair(2).Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, _rig.Pages()));
    }

    [Fact]
    public void State_OfADiskThatIsWritten_IsRefusedWhereItIsReadOnly()
    {
        using var target = new NvmeRig(backing: FileNvmeBacking.Open(_path, readOnly: true, awaited: true), memoryOf: _rig);
        var error = Assert.Throws<VfioException>(() => _rig.MoveTo(target));
        Assert.Contains("read-only", error.Message, StringComparison.Ordinal);
        target.File.Reset();
    }
}
