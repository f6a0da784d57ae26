using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci.Tests;

public sealed class ConfigSpaceTests
{
    // The form that "lspci -xxx" prints; each byte follows from the specification.
    private const string Golden = """
        00: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00 00
        10: 04 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        20: 08 00 00 00 00 00 00 00 00 00 00 00 f4 1a 00 11
        30: 00 00 00 00 40 00 00 00 00 00 00 00 00 01 00 00
        40: 01 48 03 00 00 00 00 00 05 60 86 01 00 00 00 00
        50: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        60: 10 9c 02 00 00 80 00 10 10 28 00 00 11 00 00 00
        70: 00 00 11 00 00 00 00 00 00 00 00 00 00 00 00 00
        80: 00 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00
        90: 01 00 00 00 00 00 00 00 00 00 00 00 11 00 03 00
        a0: 00 20 00 00 00 30 00 00 00 00 00 00 00 00 00 00
        """;

    [Fact]
    public void Read_WholeSpace_IsWhatTheSpecificationSays()
    {
        using TestDevice device = TestDevice.Full();
        byte[] bytes = new byte[PciConfigOffsets.ExtendedSize];
        Assert.Equal(Errno.None, device.Read(VfioRegions.Config, 0, bytes, out int done));
        Assert.Equal(bytes.Length, done);

        string dump = string.Join('\n', Enumerable.Range(0, 11).Select(line =>
            $"{line * 16:x2}: {string.Join(' ', bytes.Skip(line * 16).Take(16).Select(static b => $"{b:x2}"))}"));
        Assert.Equal(Golden, dump);
        Assert.All(bytes[0xb0..0x100], static b => Assert.Equal(0, b));
        Assert.Equal("03000100" + "77665544" + "33221100", Convert.ToHexString(bytes.AsSpan(0x100, 12)));
        Assert.All(bytes[0x10c..], static b => Assert.Equal(0, b));
    }

    [Fact]
    [Trait("Row", "P5")]
    public void Read_ThreeBytesAtOddOffset_SplitsAndKeepsTheBytes()
    {
        using TestDevice device = TestDevice.Full();
        byte[] bytes = new byte[3];
        Assert.Equal(Errno.None, device.Read(VfioRegions.Config, 1, bytes, out int done));
        Assert.Equal(3, done);
        Assert.Equal("1B1000", Convert.ToHexString(bytes));
    }

    [Theory]
    [Trait("Row", "P6")]
    [InlineData(0xfe, 4)]
    [InlineData(0x100, 4)]
    [InlineData(0x100, 1)]
    public void Access_PastTheEnd_IsEfaultAndDoesNothing(int offset, int length)
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new VendorCapability(new byte[0xbd], Ones(0xbd))]));
        byte[] bytes = Ones(length);
        Assert.Equal(Errno.EFAULT, device.Read(VfioRegions.Config, (ulong)offset, bytes, out int read));
        Assert.Equal(Errno.EFAULT, device.Write(VfioRegions.Config, (ulong)offset, bytes, out int written));
        Assert.Equal((0, 0), (read, written));
        Assert.Equal(Ones(length), bytes);
        Assert.Equal(0u, device.ReadConfig(0xfc, 4));
    }

    [Fact]
    public void Access_WithOffsetNearTheTopOfTheAddressSpace_IsEfault()
    {
        using TestDevice device = TestDevice.Full();
        Assert.Equal(Errno.EFAULT, device.Read(VfioRegions.Config, ulong.MaxValue, new byte[2], out _));
    }

    [Fact]
    [Trait("Row", "P1")]
    public void Command_BusMaster_FollowsWritesAndGatesDma()
    {
        using TestDevice device = TestDevice.Full();
        Assert.Equal(0x0010_1b36u, device.ReadConfig(0, 4));
        Assert.Equal(0u, device.ReadConfig(PciConfigOffsets.Command, 2));
        Assert.False(device.Hardware.Port.Dma.BusMasterEnabled);

        device.Command = PciCommand.BusMaster;
        Assert.Equal((uint)PciCommand.BusMaster, device.ReadConfig(PciConfigOffsets.Command, 2));
        Assert.True(device.Hardware.Port.Dma.BusMasterEnabled);

        device.Command = PciCommand.None;
        Assert.False(device.Hardware.Port.Dma.BusMasterEnabled);
    }

    [Fact]
    public void Command_AllOnes_KeepsOnlyTheUsualBits()
    {
        using TestDevice device = TestDevice.Full();
        device.WriteConfig(PciConfigOffsets.Command, 2, 0xffff);
        Assert.Equal(0x0547u, device.ReadConfig(PciConfigOffsets.Command, 2));
    }

    [Fact]
    [Trait("Row", "P15")]
    public void Command_ByteWriteToHighHalf_LeavesDecodeBits()
    {
        using TestDevice device = TestDevice.Full();
        device.Command = PciCommand.Memory | PciCommand.Io;
        device.WriteConfig(PciConfigOffsets.Command + 1, 1, (uint)PciCommand.InterruptDisable >> 8);
        Assert.Equal(PciCommand.Memory | PciCommand.Io | PciCommand.InterruptDisable, device.Command);
    }

    [Fact]
    public void Status_ErrorBits_AreClearedByOnesOnly()
    {
        using TestDevice device = TestDevice.Full();
        device.ConfigSpace.RaiseStatus(PciStatus.ReceivedMasterAbort | PciStatus.DetectedParityError | PciStatus.Interrupt);
        Assert.Equal(0xa010u, device.ReadConfig(PciConfigOffsets.Status, 2));

        device.WriteConfig(PciConfigOffsets.Status, 2, (uint)PciStatus.ReceivedMasterAbort);
        Assert.Equal(0x8010u, device.ReadConfig(PciConfigOffsets.Status, 2));
    }

    [Fact]
    [Trait("Row", "P25")]
    public void InterruptLine_Written_ReadsBackAndPinStays()
    {
        using TestDevice device = TestDevice.Full();
        device.WriteConfig(PciConfigOffsets.InterruptLine, 2, 0xff05);
        Assert.Equal(0x0105u, device.ReadConfig(PciConfigOffsets.InterruptLine, 2));
    }

    [Fact]
    public void ReadOnlyHeader_Written_StaysAsItWas()
    {
        using TestDevice device = TestDevice.Full();
        foreach (int offset in new[] { 0, 8, PciConfigOffsets.SubsystemVendorId, PciConfigOffsets.CapabilityPointer, PciConfigOffsets.Rom })
        {
            uint before = device.ReadConfig(offset, 4);
            device.WriteConfig(offset, 4, ~before);
            Assert.Equal(before, device.ReadConfig(offset, 4));
        }
    }

    [Fact]
    [Trait("Row", "P10")]
    public void HiddenCapability_IsSkippedByTheListAndRawBelow()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () =>
            [new PowerManagementCapability(), new OddCapability(PciCapabilityId.SlotId), new MsiCapability(1)]));
        Assert.Equal(0x50u, device.ReadConfig(0x41, 1));
        Assert.Equal((uint)PciCapabilityId.SlotId, device.ReadConfig(0x48, 1));
        device.WriteConfig(0x4c, 4, 0x1234_5678);
        Assert.Equal(0x1234_5678u, device.ReadConfig(0x4c, 4));
    }

    [Fact]
    [Trait("Row", "P7")]
    public void HiddenExtendedCapability_BetweenTwo_IsSkipped()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () =>
        [
            new DeviceSerialNumberCapability(1), new OddExtended(PciExtendedCapabilityId.ProcessAddressSpaceId),
            new VendorExtendedCapability(7, 1, []),
        ]));
        Assert.Equal(0x1141_0003u, device.ReadConfig(0x100, 4));
    }

    [Fact]
    [Trait("Row", "P8")]
    public void HiddenExtendedCapability_First_KeepsAnEmptyLink()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () =>
            [new OddExtended(PciExtendedCapabilityId.ProcessAddressSpaceId), new DeviceSerialNumberCapability(1)]));
        Assert.Equal(0x1080_0000u, device.ReadConfig(0x100, 4));
        Assert.Equal(0x0001_0003u, device.ReadConfig(0x108, 4));
    }

    [Fact]
    [Trait("Row", "P9")]
    public void NoVisibleCapability_ClearsTheStatusBitAndTheFirstExtendedDword()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () =>
            [new OddCapability(PciCapabilityId.SlotId), new OddExtended(PciExtendedCapabilityId.ProcessAddressSpaceId)]));
        Assert.Equal(0u, device.ReadConfig(PciConfigOffsets.Status, 2));
        Assert.Equal(0u, device.ReadConfig(PciConfigOffsets.CapabilityPointer, 1));
        Assert.Equal(0u, device.ReadConfig(0x100, 4));
    }

    [Fact]
    [Trait("Row", "P11")]
    public void VisibleCapabilityWithoutRules_DropsWritesAndCountsThem()
    {
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new OddExtended(PciExtendedCapabilityId.AddressTranslation)]));
        device.WriteConfig(0x104, 4, uint.MaxValue);
        Assert.Equal(0u, device.ReadConfig(0x104, 4));
    }

    [Fact]
    public void Layout_CapabilitiesThatDoNotFit_NamesTheOne()
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => new PciConfigSpace(TestDevice.FullFunction(static () =>
            [new VendorCapability(new byte[0xb0]), new MsiCapability(1)]).Description));
        Assert.Contains(nameof(MsiCapability), e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Layout_SameCapabilityObjectTwice_IsRefused()
    {
        var shared = new PowerManagementCapability();
        PciFunctionDescription description = TestDevice.FullFunction(() => [shared]).Description;
        _ = new PciConfigSpace(description);
        Assert.Throws<ArgumentException>(() => new PciConfigSpace(description));
    }

    private static byte[] Ones(int count)
    {
        byte[] bytes = new byte[count];
        Array.Fill(bytes, byte.MaxValue);
        return bytes;
    }

    private sealed class OddCapability : PciCapability
    {
        public OddCapability(PciCapabilityId id)
            : base(id, 8) => Define(4, 4, 0, uint.MaxValue);
    }

    private sealed class OddExtended : PciExtendedCapability
    {
        public OddExtended(PciExtendedCapabilityId id)
            : base(id, 1, 8) => Define(4, 4, 0, uint.MaxValue);
    }
}
