using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>Opening, memory at addresses that nobody else uses, typed accesses.</summary>
public sealed class AssignedDeviceTests : IDisposable
{
    private readonly InProcessSlot _slot = new(new EduFunction());

    public void Dispose() => _slot.Dispose();

    [Fact]
    public void Ids_AreThoseOfConfigurationSpace()
    {
        Assert.Equal((0x1234, 0x11e8), (_slot.Device.VendorId, _slot.Device.DeviceId));
        Assert.Equal(0x00ff00u, _slot.Device.ClassCode);
    }

    [Fact]
    public void Open_OfADeviceThatIsNotThereOrTaken_SaysSo()
    {
        Assert.Equal(Errno.ENODEV, Assert.Throws<VfioException>(() => AssignedDevice.Open(_slot.Host, "0000:99:00.0")).Errno);
        Assert.Equal(Errno.EBUSY, Assert.Throws<VfioException>(() => AssignedDevice.Open(_slot.Host, _slot.Device.Name)).Errno);
    }

    [Fact]
    public void Allocate_SeveralBlocks_HaveAddressesOfTheirOwnAndAreReached()
    {
        using DmaMemory first = _slot.Device.Memory.Allocate(5000);
        using DmaMemory second = _slot.Device.Memory.Allocate(1 << 20);
        Assert.Equal(8192UL, first.Size);
        Assert.True(second.Iova >= first.Iova + first.Size);
        Assert.Equal(new byte[8192], first.Bytes.ToArray());

        // The device copies the end of one block to the other's start, through its buffer at 0x40000.
        const ulong Source = 0x80, Destination = 0x88, Count = 0x90, Command = 0x98, Buffer = 0x40000, Start = 1, ToMemory = 2;
        _slot.Device.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        first.Bytes[^1] = 7;
        Copy(first.Iova + first.Size - 1, Buffer, Start);
        Copy(Buffer, second.Iova, Start | ToMemory);
        Assert.Equal(7, second.Bytes[0]);

        void Copy(ulong from, ulong to, ulong command)
        {
            _slot.Device.Write64(VfioRegions.Bar0, Source, from);
            _slot.Device.Write64(VfioRegions.Bar0, Destination, to);
            _slot.Device.Write64(VfioRegions.Bar0, Count, 1);
            _slot.Device.Write64(VfioRegions.Bar0, Command, command);
            Assert.True(SpinWait.SpinUntil(() => (_slot.Device.Read32(VfioRegions.Bar0, Command) & Start) == 0, TimeSpan.FromMinutes(2)));
        }
    }

    [Fact]
    public void Allocate_AfterAnotherWasDisposed_TakesItsPlace()
    {
        ulong place;
        using (DmaMemory gone = _slot.Device.Memory.Allocate(4096))
        {
            place = gone.Iova;
        }

        using DmaMemory memory = _slot.Device.Memory.Allocate(4096);
        Assert.Equal(place, memory.Iova);
    }

    [Fact]
    public void Allocate_WhereSomebodyElseMapped_TakesTheNextPlace()
    {
        DmaMemory gone = _slot.Device.Memory.Allocate(4096);
        ulong place = gone.Iova;
        gone.Dispose();
        ProcessMemory other = ProcessMemory.Allocate(4096);
        _slot.Device.Container!.MapDma(place, 4096, DmaAccess.Read, other, 0);
        other.Release();
        using DmaMemory memory = _slot.Device.Memory.Allocate(4096);
        Assert.NotEqual(place, memory.Iova);
    }

    [Fact]
    public void Access_ThatTheDeviceRefuses_NamesThePlace()
    {
        var error = Assert.Throws<VfioException>(() => _slot.Device.Read32(VfioRegions.Bar0 + 1, 0));
        Assert.Contains("region 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ioas_InPlaceOfAContainer_ChoosesAddresses()
    {
        using IommufdContext context = _slot.Host.OpenIommufd(Caller.Current);
        DmaAddressSpace space = DmaAddressSpace.Of(context.AllocateIoas());
        using DmaMemory first = space.Allocate(4096);
        using DmaMemory second = space.Allocate(4096);
        Assert.NotEqual(first.Iova, second.Iova);
    }
}
