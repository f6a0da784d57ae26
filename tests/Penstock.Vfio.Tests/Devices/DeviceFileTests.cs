using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class DeviceFileTests : IDisposable
{
    private readonly List<string> _log = [];
    private readonly Rig _rig;
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;

    public DeviceFileTests()
    {
        _rig = new Rig(host: new VfioHostOptions { Log = _log.Add });
        (_container, _group) = _rig.Ready();
        _file = _group.OpenDevice("fake0");
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _rig.Dispose();
    }

    [Fact]
    public void ReadAndWrite_Region_ReachTheDevice()
    {
        Assert.Equal(Errno.None, _file.Write(0, 16, [1, 2, 3, 4], out int written));
        byte[] data = new byte[4];
        Assert.Equal(Errno.None, _file.Read(0, 16, data, out int read));
        Assert.Equal((4, 4), (written, read));
        Assert.Equal([1, 2, 3, 4], data);
    }

    [Fact]
    public void Call_Closed_EINVAL()
    {
        _file.Dispose();
        Assert.Equal(Errno.EINVAL, _file.Read(0, 0, new byte[1], out _));
        Assert.Equal(Errno.EINVAL, _file.Write(0, 0, new byte[1], out _));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.GetInfo()));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.GetRegionInfo(0)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.GetIrqInfo(0)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(_file.Reset));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.SetIrqs(default)));
    }

    [Fact]
    public void Read_DeviceThrows_EIOAndLogged()
    {
        _rig.Device.AccessFailure = new InvalidOperationException("broken model");
        Assert.Equal(Errno.EIO, _file.Read(0, 0x24, new byte[4], out _));
        Assert.Equal(Errno.EIO, _file.Write(0, 0x24, new byte[4], out _));
        Assert.Equal(2, _log.Count);
        Assert.Contains("region 0 at 0x24", _log[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2u, 0u, 1u, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 2u, 0xfffffffdu, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 0u, 1u, (VfioIrqSetFlags)0x40 | VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 4u, 0u, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 2u, 3u, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(1u, 0u, 0u, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 0u, 1u, VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 0u, 1u, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 0u, 1u, VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 0u, 1u, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, Errno.EINVAL)]
    [InlineData(0u, 0u, 1u, VfioIrqSetFlags.DataNone, Errno.ENOTTY)]
    [InlineData(0u, 0u, 1u, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionMask | VfioIrqSetFlags.ActionTrigger, Errno.ENOTTY)]
    public void SetIrqs_BadRequest_ErrorAndDeviceNotAsked(uint index, uint start, uint count, VfioIrqSetFlags flags, Errno expected)
    {
        Errno errno = ErrnoOf(() => _file.SetIrqs(new VfioIrqRequest { Index = index, Start = start, Count = count, Flags = flags }));
        Assert.Equal(expected, errno);
        Assert.Empty(_rig.Device.IrqCalls);
    }

    [Fact]
    public void SetIrqs_GoodRequests_ReachTheDevice()
    {
        const VfioIrqSetFlags None = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger;
        const VfioIrqSetFlags Bools = VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionMask;
        const VfioIrqSetFlags Events = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger;
        _file.SetIrqs(new VfioIrqRequest { Flags = None });
        _file.SetIrqs(new VfioIrqRequest { Flags = Bools, Start = 2, Count = 2, Bools = [1, 0] });
        _file.SetIrqs(new VfioIrqRequest { Flags = Events, Count = 4, Events = new EventDescriptor?[4] });
        Assert.Equal([None, Bools, Events], _rig.Device.IrqCalls);
    }

    [Fact]
    public void Reset_DeviceWithout_EINVAL() => Assert.Equal(Errno.EINVAL, ErrnoOf(_file.Reset));

    [Fact]
    public void BeginAccess_WorkPostedInTheCall_WaitsForEndAccess()
    {
        using var strand = new Strand("fake2", _rig.Host.Ledger);
        var device = new FakeDevice("fake2", strand);
        using var ran = new ManualResetEventSlim();
        device.OnWrite = () => strand.Post(ran.Set);
        _rig.Host.Register(device, _rig.Group);
        using VfioDeviceFile file = _group.OpenDevice("fake2");

        file.BeginAccess();
        Assert.Equal(Errno.None, file.Write(0, 0, [1], out _));
        Assert.False(ran.Wait(20));
        file.EndAccess();
        ran.Wait();
    }

    [Fact]
    public void Register_Twice_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Host.Register(_rig.Device, _rig.Group)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Host.Unregister(new FakeDevice("never"))));
    }
}
