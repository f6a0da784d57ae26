using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>The card behind the files that a VMM holds: decoding, BAR sizing and the level interrupt with its masking.</summary>
public sealed class Idio16DeviceFileTests : IDisposable
{
    private const uint Ports = 2;
    private const string Address = "0000:01:00.0";
    private readonly VfioHost _host = new();
    private readonly Idio16Function _card = new();
    private readonly VfioPciCoreDevice _device;
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;
    private readonly EventDescriptor _interrupt = EventDescriptor.Create();

    public Idio16DeviceFileTests()
    {
        var group = _host.AddIommuUnit("unit").CreateGroup();
        _device = new VfioPciCoreDevice(Address, _card, group);
        _host.Register(_device, group);
        _container = _host.OpenContainer(Caller.Current);
        _group = _host.OpenGroup(group.Number, Caller.Current);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice(Address);
        Write(VfioRegions.Config, (ulong)PciConfigOffsets.Command, (byte)PciCommand.Io);
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _device.Dispose();
        _host.Dispose();
        _interrupt.Dispose();
        Assert.Equal("nothing", _host.Ledger.ToString());
    }

    [Fact]
    public void RegionInfo_IsEightPortsThatCannotBeMapped()
    {
        var info = _file.GetRegionInfo(Ports);
        Assert.Equal(8UL, info.Size);
        Assert.Equal(VfioRegionFlags.Read | VfioRegionFlags.Write, info.Flags);
    }

    [Fact]
    public void ChangeOfInput_SignalsTheUser_OncePerUnmaskUntilCleared()
    {
        var events = new EventDescriptor?[] { _interrupt };
        _file.SetIrqs(new VfioIrqRequest
        {
            Index = VfioIrqs.Intx,
            Count = 1,
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Events = events,
        });
        Read(Ports, 2);
        _card.SetInput(3, true);
        Assert.Equal(1UL, Signals());
        Assert.Equal(0b1000, Read(Ports, 1));

        // The level is still high: unmasking signals again, and after the clear it does not.
        Unmask();
        Assert.Equal(1UL, Signals());
        Write(Ports, 1, 0);
        Unmask();
        Assert.Equal(0UL, Signals());
        _card.SetInput(3, false);
        Assert.Equal(1UL, Signals());
        Assert.Equal(2, _card.InterruptsRaised);
    }

    private void Unmask() => _file.SetIrqs(new VfioIrqRequest
    {
        Index = VfioIrqs.Intx,
        Count = 1,
        Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask,
    });

    private ulong Signals() => _interrupt.TryDrain(out ulong count) ? count : 0;

    private byte Read(uint region, ulong offset)
    {
        Span<byte> data = stackalloc byte[1];
        Assert.Equal(Errno.None, _file.Read(region, offset, data, out int transferred));
        Assert.Equal(1, transferred);
        return data[0];
    }

    private void Write(uint region, ulong offset, byte value)
    {
        Assert.Equal(Errno.None, _file.Write(region, offset, [value], out int transferred));
        Assert.Equal(1, transferred);
    }
}
