using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci.Tests;

public sealed class ResetTests
{
    [Fact]
    [Trait("Row", "X1")]
    public void Reset_WithTheFlag_ResetsTheFunctionAndKeepsConfig()
    {
        using TestDevice device = TestDevice.Full();
        device.Hardware.Resets.Clear();
        device.Command = PciCommand.Memory | PciCommand.BusMaster;
        device.WriteConfig(PciConfigOffsets.Bar0, 4, 0xfe00_0000);
        device.Hardware.Port.SetIntx(true);
        device.Reset();

        Assert.Equal([PciResetKind.Bus], device.Hardware.Resets);
        Assert.Equal(0x0010_0000u | (uint)(PciCommand.Memory | PciCommand.BusMaster), device.ReadConfig(PciConfigOffsets.Command, 4));
        Assert.Equal(0xfe00_0000 | PciBarBits.Memory64, device.ReadConfig(PciConfigOffsets.Bar0, 4));
        Assert.True(device.Hardware.Port.Dma.BusMasterEnabled);
    }

    [Fact]
    [Trait("Row", "X1")]
    public void Reset_WithoutTheFlag_IsEinval()
    {
        using var device = new TestDevice(TestDevice.FullFunction()) { Resettable = false };
        device.Hardware.Resets.Clear();
        Assert.Equal(VfioDeviceFlags.Pci, device.GetInfo().Flags);
        Assert.Equal(Errno.EINVAL, ErrnoOf(device.Reset));
        Assert.Empty(device.Hardware.Resets);
    }

    [Fact]
    public void OpenAndClose_EachResetAndEndWithBusMasterOff()
    {
        FakeFunction function = TestDevice.FullFunction();
        using var device = new TestDevice(function, open: false);
        Assert.Empty(function.Resets);
        device.Open();
        device.Command = PciCommand.BusMaster;
        device.Close();
        Assert.Equal([PciResetKind.Bus, PciResetKind.Close], function.Resets);
        Assert.False(function.Port.Dma.BusMasterEnabled);
    }

    [Fact]
    public void Reset_ThatThrowsInTheModel_IsEioAndLogged()
    {
        var lines = new List<string>();
        using TestDevice device = TestDevice.Full(lines.Add);
        device.Hardware.Fails = true;
        Assert.Equal(Errno.EIO, ErrnoOf(device.Reset));
        Assert.Contains("reset", Assert.Single(lines), StringComparison.Ordinal);
        device.Close();
        device.Hardware.Fails = false;
        device.Open();
    }
}
