using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>A mediated device that needs a virtual machine.</summary>
public sealed class PageWatchTests : IDisposable
{
    private const ulong Frame = 0x1234;
    private const ulong Page = 4096;
    private static readonly Caller User = new(1000, RawIo: false, LockMemory: false, ulong.MaxValue);

    private readonly VfioHost _host = new();
    private readonly MdevParent _parent;
    private readonly MdevDevice _mdev;

    public PageWatchTests()
    {
        var type = new MdevType("page");
        _parent = _host.RegisterMdevParent("software", new PageWatchDriver(), type);
        _mdev = type.Create(Guid.NewGuid());
    }

    public void Dispose()
    {
        _parent.Unregister();
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    [Trait("Row", "S0-5")]
    public void Open_WithoutAMachine_ESRCHAndNothingIsLeft()
    {
        using VfioGroup group = Group();
        Assert.Equal(Errno.ESRCH, Assert.Throws<VfioException>(() => group.OpenDevice(_mdev.Name)).Errno);

        // A machine that cannot watch pages, or one that is dying, is as good as none; none of them stays referenced.
        var plain = new PlainMachine();
        group.SetHypervisor(plain);
        Assert.Equal(Errno.ESRCH, Assert.Throws<VfioException>(() => group.OpenDevice(_mdev.Name)).Errno);
        Assert.Equal((1, 1), (plain.Taken, plain.Dropped));
        var dying = new WatchingMachine { IsDying = true };
        group.SetHypervisor(dying);
        Assert.Equal(Errno.ESRCH, Assert.Throws<VfioException>(() => group.OpenDevice(_mdev.Name)).Errno);
        Assert.Empty(dying.Tracks);
        Assert.False(_mdev.Device!.IsOpen);
    }

    [Fact]
    [Trait("Row", "S0-5")]
    public void Open_WithAMachine_WatchesPagesUntilClosed()
    {
        var machine = new WatchingMachine();
        using (VfioGroup group = Group())
        {
            group.SetHypervisor(machine);
            using (VfioDeviceFile file = group.OpenDevice(_mdev.Name))
            {
                Track track = Assert.Single(machine.Tracks);
                Write(file, VfioRegions.Config, 4, 2, 2);
                machine.GuestWrites(Frame * Page, [1]);
                Write(file, 0, 0x00, 8, Frame);
                Write(file, 0, 0x08, 4, 1);
                Assert.Equal([Frame], track.Frames);

                machine.GuestWrites((Frame * Page) + 8, [0x21, 0x43]);
                machine.GuestWrites((Frame + 1) * Page, [9]);
                Assert.Equal((1ul, 1ul, (Frame * Page) + 8, 0x4321ul), (Read(file, 0x0C, 4), Read(file, 0x10, 8), Read(file, 0x18, 8), Read(file, 0x20, 8)));
                Write(file, 0, 0x0C, 4, 1);
                Assert.Equal(0ul, Read(file, 0x0C, 4));

                Write(file, 0, 0x08, 4, 0);
                Assert.Empty(track.Frames);
                Write(file, 0, 0x00, 8, WatchingMachine.LastFrame + 1);
                Write(file, 0, 0x08, 4, 1);
                Assert.Equal(0ul, Read(file, 0x08, 4));
                Write(file, 0, 0x00, 8, Frame);
                Write(file, 0, 0x08, 4, 1);
                Assert.Equal([Frame], track.Frames);
            }

            // The hook is given back before the machine is.
            Assert.Empty(machine.Tracks);
            Assert.Equal((1, 1), (machine.Taken, machine.Dropped));
            machine.GuestWrites(Frame * Page, [1]);
        }
    }

    private VfioGroup Group()
    {
        using VfioContainer container = _host.OpenContainer(User);
        VfioGroup group = _host.OpenGroup(_mdev.Device!.Group!.Number, User);
        group.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        return group;
    }

    private static ulong Read(VfioDeviceFile file, ulong offset, int width)
    {
        byte[] data = new byte[8];
        Assert.Equal(Errno.None, file.Read(0, offset, data.AsSpan(0, width), out _));
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    private static void Write(VfioDeviceFile file, uint region, ulong offset, int width, ulong value)
    {
        byte[] data = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Assert.Equal(Errno.None, file.Write(region, offset, data.AsSpan(0, width), out _));
    }

    private class PlainMachine : IHypervisor
    {
        public int Taken { get; private set; }

        public int Dropped { get; private set; }

        public bool IsDying { get; set; }

        public bool TryAcquire()
        {
            Taken += IsDying ? 0 : 1;
            return !IsDying;
        }

        public virtual void Release() => Dropped++;
    }

    private sealed class WatchingMachine : PlainMachine, IPageTracking
    {
        public const ulong LastFrame = 0xFFFF;

        public List<Track> Tracks { get; } = [];

        public IPageTrack Track(IPageWatcher watcher)
        {
            var track = new Track(this, watcher);
            Tracks.Add(track);
            return track;
        }

        public void GuestWrites(ulong address, byte[] data)
        {
            foreach (Track track in Tracks.Where(t => t.Frames.Contains(address / Page)))
            {
                track.Watcher.PageWritten(address, data);
            }
        }

        public override void Release()
        {
            Assert.Empty(Tracks);
            base.Release();
        }
    }

    private sealed class Track(WatchingMachine machine, IPageWatcher watcher) : IPageTrack
    {
        public HashSet<ulong> Frames { get; } = [];

        public IPageWatcher Watcher => watcher;

        public bool Add(ulong frame) => frame <= WatchingMachine.LastFrame && Frames.Add(frame);

        public void Remove(ulong frame) => Frames.Remove(frame);

        public void Dispose() => machine.Tracks.Remove(this);
    }
}
