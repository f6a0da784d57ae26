using System.Buffers.Binary;
using Penstock.Interop;

namespace Penstock.Pci.Tests;

public sealed class RegisterFileTests
{
    private static readonly Register Control = new("CONTROL", 0, 4, 0x0000_0100)
    {
        ReadOnlyMask = 0x0000_ff00,
        WriteOneToClearMask = 0x00ff_0000,
        UnknownMask = 0xff00_0000,
    };

    private static readonly Register Wide = new("WIDE", 8, 8, 0x1122_3344_5566_7788);

    private readonly List<string> _log = [];

    [Fact]
    public void Write_WithMasks_ChangesOnlyWhatItMay()
    {
        RegisterFile file = Make(Control, Wide);
        file[0] = 0x0055_0100;
        Assert.Equal(Errno.None, file.Write(0, [0x12, 0xff, 0x0f, 0x80]));
        Assert.Equal(0x0050_0112u, file[0]);
    }

    [Fact]
    public void Access_OfPartsAndSeveral_TouchesTheRightBytes()
    {
        RegisterFile file = Make(Wide, new Register("NEXT", 16, 1, 0xee), new Register("AFTER", 17, 1, 0xdd));
        byte[] data = new byte[4];
        Assert.Equal(Errno.None, file.Read(14, data));
        Assert.Equal("2211EEDD", Convert.ToHexString(data));
        Assert.Equal(Errno.None, file.Write(12, [0xaa, 0xbb]));
        Assert.Equal(0x1122_bbaa_5566_7788u, file[8]);
        Assert.Equal(Errno.EINVAL, file.Read(30, data));
        Assert.Equal(Errno.EINVAL, file.Write(ulong.MaxValue, data));
    }

    [Fact]
    public void Holes_AndUnknownBits_AreReportedOnce()
    {
        RegisterFile file = Make(Control);
        byte[] data = [0xff, 0xff, 0xff, 0xff];
        file.Read(4, data);
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32LittleEndian(data));
        file.Write(4, data);
        file.Write(0, [0, 0, 0, 0x01]);
        file.Write(0, [0, 0, 0, 0x01]);
        file.Write(0, [0, 0, 0, 0x03]);
        Assert.Collection(
            _log,
            static l => Assert.Contains("offset 0x4", l, StringComparison.Ordinal),
            static l => Assert.Contains("0x1000000 of CONTROL", l, StringComparison.Ordinal),
            static l => Assert.Contains("0x2000000 of CONTROL", l, StringComparison.Ordinal));
        Assert.Equal(0x0100u, file[0]);
    }

    [Fact]
    public void Callbacks_SeeAndGiveWholeRegisters()
    {
        var writes = new List<(ulong Before, ulong After, ulong Written)>();
        RegisterFile file = Make(new Register("TIMER", 4, 4, 5)
        {
            ReadOnlyMask = 0xff,
            OnRead = static v => v * 2,
            OnWrite = (before, after, written) => writes.Add((before, after, written)),
        });
        byte[] data = new byte[4];
        file.Read(4, data);
        Assert.Equal(10u, BinaryPrimitives.ReadUInt32LittleEndian(data));
        file.Write(4, [0x77, 0x01]);
        Assert.Equal([(5UL, 0x105UL, 0x177UL)], writes);
    }

    [Fact]
    public void State_SavedAndLoaded_IsTheSame()
    {
        RegisterFile file = Make(Wide, Control);
        file[0] = 0x1234;
        byte[] state = new byte[file.StateSize];
        file.Save(state);
        Assert.Equal("34120000" + "8877665544332211", Convert.ToHexString(state));

        RegisterFile other = Make(Control, Wide);
        other[8] = 0;
        other.Load(state);
        Assert.Equal((0x1234u, 0x1122_3344_5566_7788u), (other[0], other[8]));
        other.Reset();
        Assert.Equal(0x100u, other[0]);
        Assert.Throws<ArgumentException>(() => other.Load(state.AsSpan(1)));
    }

    [Fact]
    public void Construction_WithOverlap_NamesBoth()
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => Make(Wide, new Register("SMALL", 12, 2)));
        Assert.Contains("SMALL", e.Message, StringComparison.Ordinal);
        Assert.Contains("WIDE", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 3, 0UL)]
    [InlineData(2, 4, 0UL)]
    [InlineData(32, 4, 0UL)]
    [InlineData(0, 2, 0x10000UL)]
    public void Construction_WithImpossibleRegister_NamesIt(int offset, int width, ulong reset)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => Make(new Register("ODD", offset, width, reset)));
        Assert.Contains("ODD", e.Message, StringComparison.Ordinal);
    }

    private RegisterFile Make(params Register[] registers) => new("bar 0", 32, registers, _log.Add);
}
