using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Codecs;

public sealed class ZpciRegisterTests
{
    [Fact]
    public void Register_RequestAndStatus()
    {
        var register = new ZpciRegister(0x8002_0001_000f_0004);
        Assert.Equal((0x8002_0001u, ZpciRegister.ConfigurationSpace, 4), (register.Handle, register.Space, register.AccessLength));
        Assert.Equal(ZpciModifyOperation.RegisterIoat, register.Operation);
        Assert.Equal(register, new ZpciRegister { Handle = 0x8002_0001, Space = 15, AccessLength = 4 });

        ZpciRegister answer = register with { Status = ZpciStatus.InsufficientResources };
        Assert.Equal(0x8002_0001_100f_0004ul, answer.Value);
        Assert.Equal(ZpciStatus.InsufficientResources, answer.Status);
        Assert.Equal(0x8002_0001_100f_000aul, (answer with { Operation = ZpciModifyOperation.SetMeasurement }).Value);
    }

    [Theory]
    [InlineData("b9d30024", ZpciOpcode.Refresh, 2, 4)]
    [InlineData("b9d0001e", ZpciOpcode.Store, 1, 14)]
    [InlineData("b9d2001e", ZpciOpcode.Load, 1, 14)]
    [InlineData("b9a00005", ZpciOpcode.CallLogicalProcessor, 0, 5)]
    public void Decode_FourBytes_Registers(string code, ZpciOpcode opcode, byte r1, byte r2)
    {
        Assert.True(ZpciInstruction.TryDecode(Convert.FromHexString(code), out ZpciInstruction instruction));
        Assert.Equal(new ZpciInstruction(opcode, r1, r2, 0, 0), instruction);
        Assert.Equal((4, false, false), (instruction.Length, instruction.HasOperand, instruction.HasIndex));
    }

    [Theory]
    [InlineData("e321f0a000d0", ZpciOpcode.ModifyControls, 2, 1, 15, 0xa0, true)]
    [InlineData("e320ffffffd0", ZpciOpcode.ModifyControls, 2, 0, 15, -1, true)]
    [InlineData("e320f00080d4", ZpciOpcode.StoreControls, 2, 0, 15, -0x8_0000, true)]
    [InlineData("eb13efff7fd0", ZpciOpcode.StoreBlock, 1, 3, 14, 0x7_ffff, false)]
    [InlineData("eb13e00001d1", ZpciOpcode.SetInterruptionControls, 1, 3, 14, 0x1000, false)]
    public void Decode_SixBytes_DisplacementHasASign(
        string code, ZpciOpcode opcode, byte r1, byte r2, byte baseRegister, int displacement, bool hasIndex)
    {
        Assert.True(ZpciInstruction.TryDecode(Convert.FromHexString(code), out ZpciInstruction instruction));
        Assert.Equal(new ZpciInstruction(opcode, r1, r2, baseRegister, displacement), instruction);
        Assert.Equal((6, true, hasIndex), (instruction.Length, instruction.HasOperand, instruction.HasIndex));
    }

    [Theory]
    [InlineData("")]
    [InlineData("b9d3")]
    [InlineData("b9d10000")]
    [InlineData("e320f0a000")]
    [InlineData("e320f0a00024")]
    [InlineData("000000000000")]
    public void Decode_Others_AreNone(string code) => Assert.False(ZpciInstruction.TryDecode(Convert.FromHexString(code), out _));

    [Fact]
    [Trait("Row", "S0-11")]
    public void Dtsm_MostSignificantBitIsType0()
    {
        Assert.Equal(
            [ZpciDesignationType.RegionThird],
            Enum.GetValues<ZpciDesignationType>().Where(static t => ZpciDtsm.Allows(ZpciDtsm.RegionThirdOnly, t)));
        Assert.Equal(ZpciDtsm.RegionThirdOnly, ZpciDtsm.MaskOf(ZpciDesignationType.RegionThird));
        Assert.False(ZpciDtsm.Allows(0xff, (ZpciDesignationType)8));
    }

    [Fact]
    public void Iota_FlagsAndOrigin()
    {
        Assert.Equal((0x804ul, 0x808ul, 0x80cul, 0x800ul),
            (ZpciIota.RegionThirdFlags, ZpciIota.RegionSecondFlags, ZpciIota.RegionFirstFlags, ZpciIota.SegmentFlags));
        var iota = new Iota(0x285_4804 | 0x3200 | 0x1e0);
        Assert.Equal((0x285_4000ul, ZpciDesignationType.RegionThird, true, true, (byte)15),
            (iota.Origin, iota.DesignationType, iota.IsTranslating, iota.IsProtected, iota.StorageKey));
        Assert.True(iota.HasTable);
        Assert.False(new Iota(0x812).HasTable);
        Assert.False(default(Iota).IsTranslating);
        Assert.Equal((ZpciTableLevel.RegionThird, (1ul << 42) - 1), (iota.Level, iota.LastAddress));
        Assert.Equal(ulong.MaxValue, new Iota(0x80c).LastAddress);
        Assert.Equal((1ul << 31) - 1, new Iota(0x800).LastAddress);
    }
}
