using Penstock.Devices;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>The example of docs/drivers.md.</summary>
public sealed class BlockZeroTests
{
    [Fact]
    public void Example_ReadsBlockZero()
    {
        using var backing = new MemoryNvmeBacking(1 << 20);
        backing.Write(0, "boot"u8);
        using var function = new NvmeFunction(backing);
        using var slot = new InProcessSlot(function);
        string name = slot.Device.Name;
        slot.Device.Dispose();
        Assert.Equal("boot"u8.ToArray(), ReadBlockZero(slot.Host, name)[..4]);
    }

    // <docs/drivers.md>
    private static byte[] ReadBlockZero(VfioHost host, string name)
    {
        using AssignedDevice device = AssignedDevice.Open(host, name);
        using var disk = new NvmeDriver(device);
        byte[] block = new byte[disk.Namespace.BlockSize];
        disk.Read(0, block);
        return block;
    }
    // </docs/drivers.md>
}
