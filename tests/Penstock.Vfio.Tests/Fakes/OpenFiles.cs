using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A host with one device of the test's, and its files of both paths; everything is closed and counted at the end.</summary>
internal sealed class OpenFiles : IDisposable
{
    private readonly List<IDisposable> _open = [];

    public OpenFiles(VfioDevice device, IommuUnitOptions? unit = null)
    {
        Device = device;
        Group = Host.AddIommuUnit("iommu0", unit).CreateGroup();
        Host.Register(device, Group);
    }

    public VfioHost Host { get; } = new();

    public VfioDevice Device { get; }

    public IommuGroup Group { get; }

    public UserFiles Files { get; } = new();

    public VfioGroup GroupFile { get; private set; } = null!;

    public VfioContainer Container { get; private set; } = null!;

    public IommufdContext Context { get; private set; } = null!;

    /// <summary>A file of the device, from GET_DEVICE_FD.</summary>
    public VfioDeviceFile OpenThroughGroup()
    {
        if (GroupFile is null)
        {
            GroupFile = Keep(Host.OpenGroup(Group.Number, Rig.User, files: Files));
            Container = Keep(Host.OpenContainer(Rig.User, files: Files));
            GroupFile.SetContainer(Container);
            Container.SetIommu(VfioIommuType.Type1V2);
        }

        return Keep(GroupFile.OpenDevice(Device.Name));
    }

    /// <summary>A file of the device, opened by itself and not bound.</summary>
    public VfioCdevFile OpenCdev() => Keep(Host.OpenCdev(Device.Name, Rig.User, files: Files));

    /// <summary>The same, bound to an iommufd.</summary>
    public VfioCdevFile OpenBound()
    {
        VfioCdevFile file = OpenCdev();
        Context ??= Keep(Host.OpenIommufd(Rig.User, files: Files));
        file.Bind(Context);
        return file;
    }

    public static Errno Ioctl(VfioFile file, uint request, byte[] argument) => ErrnoOf(() => Assert.Equal(0, file.Ioctl(request, argument)));

    public static Errno Ioctl(VfioFile file, VfioDeviceRequest request, byte[] argument) => Ioctl(file, (uint)request, argument);

    public static byte[] Words(params uint[] words) => MemoryMarshal.AsBytes(words.AsSpan()).ToArray();

    public static uint Word(byte[] argument, int index) => MemoryMarshal.Read<uint>(argument.AsSpan(index * sizeof(uint)));

    public T Keep<T>(T owned)
        where T : IDisposable
    {
        _open.Add(owned);
        return owned;
    }

    public void Dispose()
    {
        Enumerable.Reverse(_open).ToList().ForEach(static o => o.Dispose());
        Assert.False(Device.IsOpen);
        Assert.False(Group.IsClaimed);
        Host.Dispose();
        Assert.Equal("nothing", Host.Ledger.ToString());
    }
}
