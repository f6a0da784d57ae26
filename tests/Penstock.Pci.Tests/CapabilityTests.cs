using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci.Tests;

public sealed class CapabilityTests
{
    private const int First = PciConfigOffsets.HeaderEnd;

    public static TheoryData<string, int, uint> Masks() => new()
    {
        // Bits that change when all ones are written, dword by dword from the header on.
        { "pm", 0, 0 }, { "pm", 4, 0x0000_0003 },
        { "msi64", 0, 0 }, { "msi64", 4, 0xffff_fffc }, { "msi64", 8, 0xffff_ffff }, { "msi64", 12, 0x0000_ffff },
        { "msi64", 16, 0x0000_00ff }, { "msi64", 20, 0 },
        { "msi32", 4, 0xffff_fffc }, { "msi32", 8, 0x0000_ffff }, { "msi32", 12, 0x0000_0001 }, { "msi32", 16, 0 },
        { "msix", 0, 0 }, { "msix", 4, 0 }, { "msix", 8, 0 },
        { "express", 0, 0 }, { "express", 4, 0 }, { "express", 12, 0 }, { "express", 16, 0x0000_00cb },
        { "express", 0x24, 0 }, { "express", 0x28, 0x0000_001f }, { "express", 0x30, 0x0000_000e },
        { "vendor", 0, 0x0f00_0000 }, { "vendor", 4, 0x0000_00f0 },
        { "dsn", 0, 0 }, { "dsn", 4, 0 }, { "dsn", 8, 0 },
        { "vsec", 0, 0 }, { "vsec", 4, 0 }, { "vsec", 8, 0x0000_ff00 },
    };

    [Theory]
    [Trait("Row", "P23")]
    [MemberData(nameof(Masks))]
    public void Write_AllOnes_ChangesOnlyWritableBits(string which, int offset, uint changes)
    {
        PciCapability capability = which switch
        {
            "pm" => new PowerManagementCapability(),
            "msi64" => new MsiCapability(8),
            "msi32" => new MsiCapability(1, is64Bit: false),
            "msix" => new MsixCapability(4, 0, 0, 0, 0x800),
            "express" => new ExpressCapability(functionLevelReset: false),
            "vendor" => new VendorCapability([1, 2], [0x0f, 0xf0]),
            "dsn" => new DeviceSerialNumberCapability(0x0102_0304_0506_0708),
            _ => new VendorExtendedCapability(0x1234, 5, [1, 2, 3, 4], [0, 0xff]),
        };
        using var device = new TestDevice(TestDevice.FullFunction(() => [capability]));
        int at = (capability is PciExtendedCapability ? PciConfigOffsets.ConventionalSize : First) + offset;
        int width = Math.Min(4, capability.Length - offset);
        uint before = device.ReadConfig(at, width);
        device.WriteConfig(at, width, uint.MaxValue);
        Assert.Equal(changes & ~before, device.ReadConfig(at, width) ^ before);

        device.Close();
        device.Open();
        Assert.Equal(before, device.ReadConfig(at, width));
    }

    [Theory]
    [InlineData(false, false, 10)]
    [InlineData(true, false, 14)]
    [InlineData(false, true, 20)]
    [InlineData(true, true, 24)]
    public void Msi_Length_FollowsItsForm(bool is64Bit, bool maskable, int length) =>
        Assert.Equal(length, new MsiCapability(1, maskable, is64Bit).Length);

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(64)]
    public void Msi_ImpossibleVectorCount_IsRefused(int vectors) => Assert.Throws<ArgumentException>(() => new MsiCapability(vectors));

    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(2049, 0, 0)]
    [InlineData(1, 6, 0)]
    [InlineData(1, 0, 4)]
    public void Msix_ImpossiblePlace_IsRefused(int vectors, int bar, int offset) =>
        Assert.ThrowsAny<ArgumentException>(() => new MsixCapability(vectors, bar, (uint)offset, 0, 0));

    [Fact]
    public void Express_ControlAllOnes_KeepsPhantomAndResetZero()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new ExpressCapability()]));
        device.WriteConfig(First + PciExpress.DeviceControl, 1, 0xff);
        device.WriteConfig(First + PciExpress.DeviceControl + 1, 1, 0x7f);
        Assert.Equal(0x7dffu, device.ReadConfig(First + PciExpress.DeviceControl, 2));
    }

    [Fact]
    [Trait("Row", "P19")]
    public void Express_FunctionLevelReset_ResetsAndReadsZero()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new ExpressCapability()]));
        device.Hardware.Resets.Clear();
        device.Command = PciCommand.Memory | PciCommand.BusMaster;
        device.WriteConfig(First + PciExpress.DeviceControl, 2, PciExpress.InitiateFunctionLevelReset | 0x1fu);

        Assert.Equal([PciResetKind.FunctionLevel], device.Hardware.Resets);
        Assert.Equal(0x1fu, device.ReadConfig(First + PciExpress.DeviceControl, 2) & 0x801fu);
        Assert.Equal(PciCommand.Memory | PciCommand.BusMaster, device.Command);
        Assert.True(device.Hardware.Port.Dma.BusMasterEnabled);
    }

    [Fact]
    [Trait("Row", "P19")]
    public void Express_WithoutFunctionLevelReset_DoesNotReset()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new ExpressCapability(functionLevelReset: false)]));
        device.Hardware.Resets.Clear();
        device.WriteConfig(First + PciExpress.DeviceControl, 2, 0xffff);
        Assert.Empty(device.Hardware.Resets);
        Assert.Equal(0x7dffu, device.ReadConfig(First + PciExpress.DeviceControl, 2));
    }

    [Fact]
    public void OwnCapability_RaisedBits_AreClearedByOnes()
    {
        var own = new OwnCapability();
        using var device = new TestDevice(TestDevice.FullFunction(() => [own]));
        own.Raise(0x5);
        device.WriteConfig(First + 4, 2, 0x4);
        Assert.Equal(0x1u, device.ReadConfig(First + 4, 2));
    }

    [Fact]
    [Trait("Row", "P16")]
    public void Power_D3HotAndBack_StopsBarsAndResets()
    {
        using TestDevice device = TestDevice.Full();
        device.Command = PciCommand.Memory | PciCommand.BusMaster;
        device.Hardware.Resets.Clear();
        device.WriteConfig(First + PciPowerManagement.Control, 2, PciPowerManagement.D3Hot);
        Assert.Equal(Errno.EIO, device.Read(0, 0, new byte[4], out _));
        Assert.False(device.Hardware.Port.Dma.BusMasterEnabled);

        device.WriteConfig(First + PciPowerManagement.Control, 2, PciPowerManagement.D0);
        Assert.Equal([PciResetKind.PowerManagement], device.Hardware.Resets);
        Assert.Equal(PciCommand.Memory | PciCommand.BusMaster, device.Command);
        Assert.Equal(Errno.None, device.Read(0, 0, new byte[4], out _));
    }

    [Fact]
    [Trait("Row", "P16")]
    public void Power_WithoutSoftReset_KeepsEverything()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new PowerManagementCapability(noSoftReset: true)]));
        device.Command = PciCommand.Memory | PciCommand.BusMaster;
        device.Hardware.Resets.Clear();
        device.WriteConfig(First + PciPowerManagement.Control, 2, PciPowerManagement.D3Hot);
        Assert.Equal(Errno.EIO, device.Read(0, 0, new byte[4], out _));
        device.WriteConfig(First + PciPowerManagement.Control, 2, PciPowerManagement.D0);

        Assert.Empty(device.Hardware.Resets);
        Assert.Equal(Errno.None, device.Read(0, 0, new byte[4], out _));
        Assert.True(device.Hardware.Port.Dma.BusMasterEnabled);
    }

    [Theory]
    [Trait("Row", "P17")]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public void Power_StateThatDoesNotExist_IsIgnored(bool d1, int state)
    {
        using var device = new TestDevice(TestDevice.FullFunction(() => [new PowerManagementCapability(d1: d1)]));
        device.WriteConfig(First + PciPowerManagement.Control, 2, 0x8100u | PciPowerManagement.D1);
        Assert.Equal((uint)state, device.ReadConfig(First + PciPowerManagement.Control, 2));
    }

    [Fact]
    [Trait("Row", "P21")]
    public void Msi_EnableWithoutSetUp_StaysZero()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new MsiCapability(8)]));
        device.WriteConfig(First + PciMsi.Control, 2, PciMsi.Enable | (3u << PciMsi.MultipleEnableShift));
        Assert.Equal(0x0186u, device.ReadConfig(First + PciMsi.Control, 2));
    }

    [Fact]
    [Trait("Row", "P22")]
    public void Msi_SetUpWithTwo_ClipsTheQueueSize()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new MsiCapability(8)]));
        device.Bind(VfioIrqs.Msi, 0, null, null);
        device.WriteConfig(First + PciMsi.Control, 2, PciMsi.Enable | (3u << PciMsi.MultipleEnableShift));
        Assert.Equal(0x0197u, device.ReadConfig(First + PciMsi.Control, 2));
    }

    /// <summary>A capability of an author: a register that he raises bits of.</summary>
    private sealed class OwnCapability : PciCapability
    {
        public OwnCapability()
            : base(PciCapabilityId.Vendor, 8) => Define(4, 2, 0, 0, 0xf);

        public void Raise(uint bits) => Set(4, 2, Get(4, 2) | bits);
    }
}
