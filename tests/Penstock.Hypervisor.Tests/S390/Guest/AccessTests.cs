using System.Buffers.Binary;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>Loads, stores and block stores that the VMM serves.</summary>
public sealed class AccessTests : IDisposable
{
    private const byte Configuration = ZpciRegister.ConfigurationSpace;
    private const int BarSize = 0x4000;

    private readonly ZpciGuestRig _rig = new();
    private readonly FakeFunction _hardware = new();
    private readonly ZpciGuestFunction _function;

    public AccessTests() => _function = _rig.PlugEnabled(_hardware);

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(1, 0xeful)]
    [InlineData(2, 0xcdeful)]
    [InlineData(3, 0xabcdeful)]
    [InlineData(4, 0x89abcdeful)]
    [InlineData(8, 0x0123_4567_89ab_cdeful)]
    public void StoreAndLoad_OfABar_RegisterIsBigEndianInTheOrderOfAddresses(int length, ulong seen)
    {
        Assert.Equal(ZpciResult.Done(Request(0, length)), Store(0, length, 0x100, 0x0123_4567_89ab_cdef));
        byte[] bytes = new byte[8];
        _hardware.ReadBar(0, 0x100, bytes);
        Assert.Equal(seen, BinaryPrimitives.ReadUInt64BigEndian(bytes) >> ((8 - length) * 8));
        ZpciResult loaded = Load(0, length, 0x100);
        Assert.Equal(ZpciConditionCode.Done, loaded.ConditionCode);
        Assert.Equal(seen, loaded.Value);
    }

    [Theory]
    [InlineData(0, 0, 0ul)]
    [InlineData(0, 9, 0ul)]
    [InlineData(0, 16, 0ul)]
    [InlineData(0, 8, 4ul)]
    [InlineData(0, 2, 7ul)]
    [InlineData(0, 8, (ulong)BarSize)]
    [InlineData(0, 4, 0xffff_ffff_ffff_fff8ul)]
    [InlineData(2, 4, 0ul)]
    [InlineData(15, 0, 0ul)]
    [InlineData(15, 3, 0ul)]
    [InlineData(15, 8, 0ul)]
    [InlineData(15, 2, 3ul)]
    [InlineData(15, 4, 1ul)]
    public void Access_LengthOrPlaceIsImpossible_OperandException(byte space, int length, ulong offset)
    {
        Assert.Equal(ZpciProgramException.Operand, Load(space, length, offset).Exception);
        Assert.Equal(ZpciProgramException.Operand, Store(space, length, offset, 0).Exception);
    }

    [Theory]
    [InlineData(6)]
    [InlineData(14)]
    [InlineData(16)]
    public void Access_NoSuchSpace_Status20(byte space)
    {
        Assert.Equal("1/20", Text(Load(space, 4, 0)));
        Assert.Equal("1/20", Text(Store(space, 4, 0, 0)));
        Assert.Equal("1/20", Text(_rig.Bus.StoreBlock(Request(space, 16), 0, 0x1000)));
    }

    [Fact]
    public void Access_ProblemStateOrOddRegister_InterruptsFirst()
    {
        ulong unknown = ZpciGuestRig.Request(0x8000_7777, 6, 99);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.Load(3, unknown, 0, problemState: true).Exception);
        Assert.Equal(ZpciProgramException.Specification, _rig.Bus.Load(3, unknown, 0).Exception);
        Assert.Equal(ZpciProgramException.Specification, _rig.Bus.Store(5, unknown, 0, 0).Exception);
        Assert.Equal(ZpciProgramException.Specification, _rig.Bus.Refresh(1, unknown, 0, 0).Exception);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.StoreBlock(unknown, 0, 0, problemState: true).Exception);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.Refresh(0, unknown, 0, 0, problemState: true).Exception);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.ModifyControls(unknown, 0, problemState: true).Exception);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.StoreControls(unknown, 0, problemState: true).Exception);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.CallLogicalProcessor(0, problemState: true).Exception);
        Assert.Equal(ZpciProgramException.PrivilegedOperation, _rig.Bus.SetInterruptionControls(0, 0, problemState: true).Exception);
    }

    [Theory]
    [InlineData(0x8000_0000u)]
    [InlineData(0x8001_0001u)]
    [InlineData(0x8101_0000u)]
    [InlineData(0x0001_0000u)]
    [InlineData(0xffff_ffffu)]
    public void Access_HandleOfNoFunction_ConditionCode3(uint handle)
    {
        Assert.Equal(0x8001_0000u, _function.Handle);
        Assert.Equal(ZpciConditionCode.InvalidHandle, _rig.Bus.Load(2, ZpciGuestRig.Request(handle, length: 4), 0).ConditionCode);
        Assert.Equal(ZpciConditionCode.InvalidHandle, _rig.Bus.StoreBlock(ZpciGuestRig.Request(handle, length: 16), 0, 0).ConditionCode);
        Assert.Equal(ZpciConditionCode.InvalidHandle, _rig.Bus.Refresh(2, ZpciGuestRig.Request(handle), 0, 0).ConditionCode);
    }

    [Fact]
    public void Configuration_LoadAndStore_LittleEndianBytesSwappedPastItsEndNothing()
    {
        Assert.Equal(0x361b_1000ul, Load(Configuration, 4, PciConfigOffsets.VendorId).Value);
        Assert.Equal(0x361bul, Load(Configuration, 2, PciConfigOffsets.VendorId).Value);
        Assert.Equal(0x1000ul, Load(Configuration, 2, PciConfigOffsets.DeviceId).Value);
        Assert.Equal("0", Text(Store(Configuration, 1, PciConfigOffsets.InterruptLine, 0x5a)));
        Assert.Equal(0x5aul, Load(Configuration, 1, PciConfigOffsets.InterruptLine).Value);
        Assert.Equal(0xffff_fffful, Load(Configuration, 4, 0x1000).Value);
        Assert.Equal("0", Text(Store(Configuration, 4, ulong.MaxValue - 3, 0)));
    }

    [Theory]
    [InlineData(4, 16, 0x1000ul)]
    [InlineData(0, 8, 0x1000ul)]
    [InlineData(0, 20, 0x1000ul)]
    [InlineData(0, 136, 0x1000ul)]
    [InlineData(0xff8, 16, 0x1000ul)]
    [InlineData(0, 16, 0x1004ul)]
    public void StoreBlock_NotAlignedOrTooLong_SpecificationException(ulong offset, int length, ulong operand) =>
        Assert.Equal(ZpciProgramException.Specification, _rig.Bus.StoreBlock(Request(0, length), offset, operand).Exception);

    [Fact]
    public void StoreBlock_OutsideOfTheBarOrOfMemory_OperandThenAddressingException()
    {
        Assert.Equal(ZpciProgramException.Operand, _rig.Bus.StoreBlock(Request(0, 16), BarSize, 0x1000).Exception);
        Assert.Equal(ZpciProgramException.Operand, _rig.Bus.StoreBlock(Request(1, 16), 0, ZpciGuestRig.MemorySize).Exception);
        Assert.Equal(ZpciProgramException.Addressing, _rig.Bus.StoreBlock(Request(0, 16), 0, ZpciGuestRig.MemorySize - 8).Exception);
    }

    [Fact]
    public void StoreBlock_Whole_ArrivesByteForByte()
    {
        Span<byte> block = _rig.Memory.Span(0x1000, 128);
        for (int i = 0; i < block.Length; i++)
        {
            block[i] = (byte)(i + 1);
        }

        Assert.Equal("0", Text(_rig.Bus.StoreBlock(Request(0, 128), 0xf80, 0x1000)));
        byte[] stored = new byte[128];
        _hardware.ReadBar(0, 0xf80, stored);
        Assert.Equal(block.ToArray(), stored);
    }

    [Fact]
    [Trait("Row", "S0-7")]
    public void Exits_InterceptedFunction_OneForEachAccess()
    {
        var processor = new ZpciProcessor(_rig.Bus);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(ZpciConditionCode.Done, processor.Load(2, Request(0, 4), 0).ConditionCode);
            Assert.Equal(ZpciConditionCode.Done, processor.Store(2, Request(0, 4), 0, 1).ConditionCode);
        }

        Assert.Equal(20, processor.Exits);
        Assert.Equal(20, _function.Exits);
        Assert.Equal(0, processor.Interpreted);
    }

    [Fact]
    public void LoadAndStore_Often_AllocateNothing()
    {
        Assert.Equal(0, AllocatedBytes.In(1000, i =>
        {
            _rig.Bus.Store(2, Request(0, 8), 0x40, (ulong)i);
            _rig.Bus.Load(2, Request(0, 8), 0x40);
            _rig.Bus.Load(2, Request(Configuration, 4), 0);
            _rig.Bus.Store(2, Request(0, 4), 0x2000, 0);
        }));
    }

    private static string Text(ZpciResult result)
    {
        Assert.Equal(ZpciProgramException.None, result.Exception);
        return result.ConditionCode == ZpciConditionCode.Error ? $"1/{(byte)result.Status}" : $"{(byte)result.ConditionCode}";
    }

    private ulong Request(byte space, int length) => ZpciGuestRig.Request(_function, space, length);

    private ZpciResult Load(byte space, int length, ulong offset) => _rig.Bus.Load(2, Request(space, length), offset);

    private ZpciResult Store(byte space, int length, ulong offset, ulong value) => _rig.Bus.Store(2, Request(space, length), offset, value);
}
