using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci.Tests;

public sealed class RegionTests
{
    private const int Bar0Size = 0x4000;

    [Fact]
    public void GetInfo_OfAFunction_NamesNineRegionsAndFiveInterrupts()
    {
        using TestDevice device = TestDevice.Full();
        Assert.Equal((VfioDeviceFlags.Pci | VfioDeviceFlags.Reset, 9, 5), Tuple(device.GetInfo()));
        static (VfioDeviceFlags, int, int) Tuple(Penstock.Vfio.VfioDeviceInfo i) => (i.Flags, i.RegionCount, i.IrqCount);
    }

    [Fact]
    [Trait("Row", "R1")]
    public void GetRegionInfo_OfEachIndex_IsAsTheFunctionSays()
    {
        using TestDevice device = TestDevice.Full();
        ulong[] sizes = [.. Enumerable.Range(0, 8).Select(i => device.GetRegionInfo((uint)i).Size)];
        Assert.Equal([Bar0Size, 0, 0x20, 0, 0x1000, 0, 0, 4096], sizes);
        Assert.Equal(VfioRegionFlags.None, device.GetRegionInfo(1).Flags);
        Assert.Equal(VfioRegionFlags.Read | VfioRegionFlags.Write, device.GetRegionInfo(0).Flags);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => device.GetRegionInfo(VfioRegions.Vga)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => device.GetRegionInfo(99)));
    }

    [Fact]
    [Trait("Row", "R4")]
    public void Bar_AccessAcrossTheEnd_IsCutAndPastItRefused()
    {
        using TestDevice device = Enabled();
        Assert.Equal(Errno.None, device.Read(0, Bar0Size - 2, new byte[8], out int done));
        Assert.Equal(2, done);
        Assert.Equal(Errno.None, device.Write(0, Bar0Size - 2, new byte[8], out done));
        Assert.Equal(2, done);
        Assert.Equal(Errno.EINVAL, device.Read(0, Bar0Size, new byte[8], out done));
        Assert.Equal(0, done);
        Assert.Equal(Errno.EINVAL, device.Write(0, ulong.MaxValue, new byte[8], out _));
    }

    [Theory]
    [Trait("Row", "R5")]
    [InlineData(0, 1, 15, new[] { 1, 2, 4, 8 })]
    [InlineData(0, 0, 8, new[] { 8 })]
    [InlineData(0, 4, 8, new[] { 4, 4 })]
    [InlineData(0, 3, 3, new[] { 1, 2 })]
    [InlineData(2, 0, 8, new[] { 4, 4 })]
    [InlineData(2, 1, 4, new[] { 1, 2, 1 })]
    public void Bar_Access_IsSplitIntoNaturalWidths(int bar, int offset, int length, int[] widths)
    {
        using TestDevice device = Enabled();
        for (int i = 0; i < 32; i++)
        {
            device.Hardware.Memory(bar)[i] = (byte)(0x80 + i);
        }

        device.Hardware.KeepsWidths = true;
        byte[] data = new byte[length];
        Assert.Equal(Errno.None, device.Read((uint)bar, (ulong)offset, data, out int done));
        Assert.Equal(length, done);
        Assert.Equal(widths, device.Hardware.Widths);
        Assert.Equal(device.Hardware.Memory(bar).Slice(offset, length).ToArray(), data);

        device.Hardware.Widths.Clear();
        Assert.Equal(Errno.None, device.Write((uint)bar, (ulong)offset, data, out done));
        Assert.Equal(widths, device.Hardware.Widths);
    }

    [Fact]
    [Trait("Row", "R11")]
    public void Access_OfNothing_IsNothing()
    {
        using TestDevice device = TestDevice.Full();
        Assert.Equal(Errno.None, device.Read(99, ulong.MaxValue, [], out int read));
        Assert.Equal(Errno.None, device.Write(99, ulong.MaxValue, [], out int written));
        Assert.Equal((0, 0), (read, written));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(VfioRegions.Rom)]
    [InlineData(VfioRegions.Vga)]
    [InlineData(VfioRegions.Count)]
    public void Access_ToARegionThatIsNotThere_IsEinval(uint region)
    {
        using TestDevice device = Enabled();
        Assert.Equal(Errno.EINVAL, device.Read(region, 0, new byte[4], out _));
        Assert.Equal(Errno.EINVAL, device.Write(region, 0, new byte[4], out _));
    }

    [Fact]
    [Trait("Row", "P12")]
    public void MemoryBar_WithDecodeOff_IsEioAndIoBarAnswers()
    {
        using TestDevice device = TestDevice.Full();
        Assert.Equal(Errno.EIO, device.Read(0, 0, new byte[4], out int done));
        Assert.Equal(0, done);
        Assert.Equal(Errno.EIO, device.Write(0, 0, new byte[4], out _));
        Assert.Equal(Errno.None, device.Read(2, 0, new byte[4], out _));

        device.Command = PciCommand.Memory;
        Assert.Equal(Errno.None, device.Read(0, 0, new byte[4], out _));
        device.Command = PciCommand.Io;
        Assert.Equal(Errno.EIO, device.Read(0, 0, new byte[4], out _));
    }

    [Fact]
    [Trait("Row", "R6")]
    public void MsixTable_ReadAcross_IsOnesInsideAndRealOutside()
    {
        using TestDevice device = Enabled();
        device.Hardware.Memory(0).Slice(0x1ff0, 0x80).Fill(0x11);
        byte[] data = new byte[0x60];
        Assert.Equal(Errno.None, device.Read(0, 0x1ff0, data, out int done));
        Assert.Equal(0x60, done);
        Assert.All(data[..0x10], static b => Assert.Equal(0x11, b));
        Assert.All(data[0x10..0x50], static b => Assert.Equal(0xff, b));
        Assert.All(data[0x50..], static b => Assert.Equal(0x11, b));
    }

    [Fact]
    [Trait("Row", "R6")]
    public void MsixTable_WriteAcross_IsDroppedInside()
    {
        using TestDevice device = Enabled();
        byte[] data = new byte[0x60];
        data.AsSpan().Fill(0x22);
        Assert.Equal(Errno.None, device.Write(0, 0x1ff0, data, out int done));
        Assert.Equal(0x60, done);
        Span<byte> memory = device.Hardware.Memory(0);
        Assert.Equal(0x22, memory[0x1fff]);
        Assert.Equal(0, memory[0x2000]);
        Assert.Equal(0, memory[0x203f]);
        Assert.Equal(0x22, memory[0x2040]);
        Assert.Equal(PciMsix.VectorMasked, device.ConfigSpace.Find<MsixCapability>()!.TableWord(0, 3));
    }

    [Fact]
    public void Model_ThatThrows_GivesEioAndOneLineWithTheRegister()
    {
        var lines = new List<string>();
        using TestDevice device = TestDevice.Full(lines.Add);
        device.Command = PciCommand.Memory;
        device.Hardware.Fails = true;
        Assert.Equal(Errno.EIO, device.Read(4, 0x4, new byte[4], out int done));
        Assert.Equal(0, done);
        Assert.Equal(Errno.EIO, device.Write(4, 0x8, new byte[16], out done));
        Assert.Equal(0, done);
        Assert.Collection(
            lines,
            static l => Assert.Contains("read of bar 4 offset 0x4 ", l, StringComparison.Ordinal),
            static l => Assert.Contains("write of bar 4 offset 0x8 ", l, StringComparison.Ordinal));

        device.Hardware.Fails = false;
        Assert.Equal(Errno.None, device.Read(4, 0x4, new byte[4], out _));
    }

    [Fact]
    public void Capability_ThatThrows_GivesEioAndNamesTheConfigOffset()
    {
        var lines = new List<string>();
        using var device = new TestDevice(TestDevice.FullFunction(static () => [new ThrowingCapability()]), lines.Add);
        Assert.Equal(Errno.EIO, device.Read(VfioRegions.Config, 0x44, new byte[4], out _));
        Assert.Equal(Errno.EIO, device.Write(VfioRegions.Config, 0x44, new byte[4], out _));
        Assert.Equal(2, lines.Count);
        Assert.All(lines, static l => Assert.Contains("config offset 0x44", l, StringComparison.Ordinal));
    }

    private static TestDevice Enabled()
    {
        TestDevice device = TestDevice.Full();
        device.Command = PciCommand.Memory;
        return device;
    }

    private sealed class ThrowingCapability() : PciCapability(PciCapabilityId.Vendor, 8)
    {
        public override void Read(int offset, Span<byte> data) => throw new InvalidOperationException("read");

        public override void Write(int offset, ReadOnlySpan<byte> data) => throw new InvalidOperationException("write");
    }
}
