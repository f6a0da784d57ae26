using System.Text;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>What goes wrong while files are opened and closed leaves nothing behind.</summary>
public sealed class ClosingTests
{
    [Fact]
    public void Dispose_GroupFileInsideAScope_EDEADLKAndStillOpen()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        using (rig.Port.Enter())
        {
            Assert.Equal(Errno.EDEADLK, ErrnoOf(group.Dispose));
        }

        Assert.False(group.IsClosed);
        group.Dispose();
        Assert.False(rig.Group.IsClaimed);
        rig.OpenGroup().Dispose();
        container.Dispose();
    }

    [Fact]
    public void GetDeviceFd_NoNumberLeft_EMFILEAndTheDeviceIsClosed()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        using VfioGroup group = rig.Host.OpenGroup(rig.Group.Number, Rig.User, files: new FullFiles());
        group.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        Assert.Equal(Errno.EMFILE, ErrnoOf(() => group.Ioctl((uint)VfioGroupRequest.GetDeviceFd, Encoding.UTF8.GetBytes("fake0\0"))));
        Assert.False(rig.Device.IsOpen);
        group.UnsetContainer();
    }

    [Fact]
    public void Dispose_DriverThatThrows_IsToldAndTheRestGoesOn()
    {
        var log = new List<string>();
        using var rig = new Rig(host: new VfioHostOptions { Log = log.Add });
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioDeviceFile file = group.OpenDevice("fake0");
        rig.Device.OnClose = static () => throw new InvalidOperationException("the driver has a bug");
        file.Dispose();
        Assert.False(rig.Device.IsOpen);
        Assert.Contains(log, line => line.Contains("the driver has a bug", StringComparison.Ordinal));
        group.UnsetContainer();
        group.Dispose();
        container.Dispose();
        rig.Host.Unregister(rig.Device);
    }

    [Fact]
    [Trait("Row", "D17")]
    public async Task Unregister_DeviceOpenedByItselfButNotBound_WaitsForTheFile()
    {
        using var rig = new Rig(host: new VfioHostOptions { RequestInterval = TimeSpan.FromHours(1) });
        VfioCdevFile file = rig.Host.OpenCdev("fake0", Rig.User);
        using var asked = new ManualResetEventSlim();
        rig.Device.OnRequest = _ => asked.Set();
        Task leaving = Task.Run(() => rig.Host.Unregister(rig.Device));
        Assert.True(asked.Wait(TimeSpan.FromMinutes(2)));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => rig.Host.OpenCdev("fake0", Rig.User)));
        Assert.False(leaving.IsCompleted);
        file.Dispose();
        await leaving.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Equal([0u], rig.Device.Requests);
    }

    private sealed class FullFiles : IUserFiles
    {
        private readonly UserFiles _none = new();

        public int Install(object file) => throw new VfioException(Errno.EMFILE, "giving a file a number", "none is left");

        public object? Find(int descriptor) => _none.Find(descriptor);

        public OwnedDescriptor Duplicate(int descriptor) => _none.Duplicate(descriptor);
    }
}
