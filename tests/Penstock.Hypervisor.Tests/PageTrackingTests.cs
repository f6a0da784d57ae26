using System.Buffers.Binary;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

/// <summary>A mediated device that watches pages of its machine's guest, from the machine's side.</summary>
public sealed class PageTrackingTests : IDisposable
{
    private const ulong Page = 4096;
    private const ulong Frame = 5;
    private const ulong FrameRegister = 0x00;
    private const ulong ControlRegister = 0x08;
    private const ulong WritesRegister = 0x10;
    private const ulong LastDataRegister = 0x20;

    private readonly HypervisorRig _rig = new();
    private readonly MdevParent _parent;
    private readonly MdevDevice _mdev;

    public PageTrackingTests()
    {
        _rig.AddMemory(8 * Page);
        var type = new MdevType("page");
        _parent = _rig.Host.RegisterMdevParent("software", new PageWatchDriver(), type);
        _mdev = type.Create(Guid.NewGuid());
    }

    public void Dispose()
    {
        _parent.Unregister();
        Assert.Equal(0, _rig.Vm.PageTracks);
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "S0-5")]
    public void Open_ThroughTheMachinesVfioDevice_WatchesGuestStoresOnly()
    {
        using VfioGroup group = _rig.Ready(_mdev.Device!.Group!);
        Assert.Equal(Errno.ESRCH, ErrnoOf(() => group.OpenDevice(_mdev.Name)));
        using KvmVfio vfio = _rig.Vm.CreateVfioDevice();
        vfio.AddFile(group);
        using (VfioDeviceFile file = group.OpenDevice(_mdev.Name))
        {
            Assert.Equal(1, _rig.Vm.PageTracks);
            Watch(file);
            Assert.Equal(Errno.None, _rig.Vm.Store((Frame * Page) - 2, [1, 2, 3, 4]));
            Assert.Equal((1ul, 0x0403ul), (Read(file, WritesRegister), Read(file, LastDataRegister)));
            Assert.Equal(Errno.None, _rig.Vm.Memory.Write(Frame * Page, [9]));
            Assert.Equal(Errno.EFAULT, _rig.Vm.Store(8 * Page, [1]));
            Assert.Equal(1ul, Read(file, WritesRegister));

            // The machine's end of the file goes first: the open device keeps machine and hook.
            vfio.RemoveFile(group);
            Assert.Equal(Errno.None, _rig.Vm.Store(Frame * Page, [7]));
            Assert.Equal(2ul, Read(file, WritesRegister));
        }

        Assert.Equal(0, _rig.Vm.PageTracks);
    }

    [Fact]
    [Trait("Row", "S0-5")]
    public async Task Close_WhileTheGuestStores_LeavesNoHookAndHangsNowhere()
    {
        using VfioGroup group = _rig.Ready(_mdev.Device!.Group!);
        group.SetHypervisor(_rig.Vm);
        using var stop = new CancellationTokenSource();
        Task guest = Task.Run(() =>
        {
            for (byte i = 0; !stop.IsCancellationRequested; i++)
            {
                Assert.Equal(Errno.None, _rig.Vm.Store(Frame * Page, [i]));
            }
        });
        for (int round = 0; round < 200; round++)
        {
            using VfioDeviceFile file = group.OpenDevice(_mdev.Name);
            Watch(file);
            Assert.True(SpinWait.SpinUntil(() => Read(file, WritesRegister) != 0, HypervisorRig.Patience), $"round {round}: no store is seen");
        }

        Assert.Equal(0, _rig.Vm.PageTracks);
        await stop.CancelAsync();
        await guest.WaitAsync(HypervisorRig.Patience);
    }

    private static void Watch(VfioDeviceFile file)
    {
        Assert.Equal(Errno.None, file.Write(7, 4, [2, 0], out _));
        Write(file, FrameRegister, Frame);
        Assert.Equal(Errno.None, file.Write(0, ControlRegister, [1, 0, 0, 0], out _));
    }

    private static ulong Read(VfioDeviceFile file, ulong offset)
    {
        byte[] data = new byte[8];
        Assert.Equal(Errno.None, file.Read(0, offset, data, out _));
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    private static void Write(VfioDeviceFile file, ulong offset, ulong value)
    {
        byte[] data = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Assert.Equal(Errno.None, file.Write(0, offset, data, out _));
    }
}
