using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A <see cref="MovableDevice"/> and an open file of it.</summary>
internal sealed class MovableRig : IDisposable
{
    private readonly VfioGroup _group;
    private readonly VfioContainer _container;

    public MovableRig(MovableDevice device)
    {
        Device = device;
        Group = Host.AddIommuUnit("unit").CreateGroup();
        Host.Register(device, Group);
        _group = Host.OpenGroup(Group.Number, Caller.Current, files: Files);
        _container = Host.OpenContainer(Caller.Current, files: Files);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        File = _group.OpenDevice(device.Name);
    }

    public VfioHost Host { get; } = new();

    public UserFiles Files { get; } = new();

    public IommuGroup Group { get; }

    public MovableDevice Device { get; }

    public VfioContainer Container => _container;

    public VfioDeviceFile File { get; }

    public static MovableRig With(ScriptedMigration script)
    {
        var device = new MovableDevice();
        device.Machine = new VfioMigration(device.Name, script);
        return new MovableRig(device);
    }

    public MigrationDataFile Data(int descriptor) => Assert.IsType<MigrationDataFile>(Files.Find(descriptor));

    public Errno Reset()
    {
        try
        {
            return (Errno)File.Ioctl((uint)VfioDeviceRequest.Reset, []);
        }
        catch (VfioException refused)
        {
            return refused.Errno;
        }
    }

    public void Dispose()
    {
        File.Dispose();
        _group.Dispose();
        _container.Dispose();
        Host.Unregister(Device);
        Host.Dispose();
    }
}
