using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

public sealed class NvmeFeaturesTests : IDisposable
{
    private readonly CheckedBacking _cached = new(1 << 20) { Blocks = true };
    private readonly CheckedBacking _plain = new(1 << 20);
    private readonly NvmeFeatures _features;

    public NvmeFeaturesTests() => _features = Features(_cached);

    public void Dispose()
    {
        _cached.Dispose();
        _plain.Dispose();
    }

    [Theory]
    [InlineData(0x01, 0x01020307u, 0x01020307u)]
    [InlineData(0x01, 0xffffffffu, 0xffffff07u)]
    [InlineData(0x02, 0x20u, 0x20u)]
    [InlineData(0x04, 0x0160u, 0x0160u)]
    [InlineData(0x05, 0x1234u, 0x1234u)]
    [InlineData(0x06, 0u, 0u)]
    [InlineData(0x08, 0x1234u, 0x1234u)]
    [InlineData(0x0a, 1u, 1u)]
    [InlineData(0x0b, 0x11fu, 0x11fu)]
    [InlineData(0x0b, 0xffffffffu, 0x1ffu)]
    public void Value_SetAndGot_IsTheSameUntilReset(int feature, uint value, uint expected)
    {
        uint before = Get(feature);
        Assert.Equal(NvmeStatus.Success, Set(feature, value));
        Assert.Equal(expected, Get(feature));
        Assert.Equal(before, Get(feature, select: 1));
        Assert.Equal(before, Get(feature, select: 2));
        Assert.Equal(feature == 5 ? 6u : 4u, Get(feature, select: 3));
        _features.Reset();
        Assert.Equal(before, Get(feature));
    }

    [Theory]
    [InlineData(0x01, 0u)]
    [InlineData(0x02, 0u)]
    [InlineData(0x04, 0xffffu)]
    [InlineData(0x05, 0u)]
    [InlineData(0x06, 1u)]
    [InlineData(0x07, 0x003e003eu)]
    [InlineData(0x08, 0u)]
    [InlineData(0x09, 0u)]
    [InlineData(0x0a, 0u)]
    [InlineData(0x0b, 0u)]
    [InlineData(0x0f, 0u)]
    public void Value_AfterReset_IsTheDefault(int feature, uint expected) => Assert.Equal(expected, Get(feature));

    [Theory]
    [InlineData(0x02, 1u)]
    [InlineData(0x04, 0x00010160u)]
    [InlineData(0x04, 0x00200160u)]
    [InlineData(0x05, 0x10000u)]
    [InlineData(0x09, 64u)]
    [InlineData(0x09, 0xffffu)]
    [InlineData(0x0f, 1000u)]
    [InlineData(0x03, 0u)]
    [InlineData(0x0c, 0u)]
    [InlineData(0x0e, 0u)]
    [InlineData(0x81, 0u)]
    [InlineData(0x00, 0u)]
    [InlineData(0xc0, 0u)]
    [InlineData(0x07, 0x0000ffffu)]
    [InlineData(0x07, 0xffff0000u)]
    public void Set_ValueThatCannotBe_IsAnInvalidField(int feature, uint value) => Assert.Equal(NvmeStatus.InvalidField, Set(feature, value));

    [Theory]
    [InlineData(0x03)]
    [InlineData(0x0c)]
    [InlineData(0x0e)]
    [InlineData(0x81)]
    [InlineData(0x00)]
    public void Get_Unknown_IsAnInvalidField(int feature) => Assert.Equal(NvmeStatus.InvalidField, TryGet(feature, out _));

    [Fact]
    public void Thresholds_OverAndUnder_AreApart()
    {
        Assert.Equal(NvmeStatus.Success, Set(4, 0x0150));
        Assert.Equal(NvmeStatus.Success, Set(4, 0x0f_0151));
        Assert.Equal(NvmeStatus.Success, Set(4, 0x10_0100));
        Assert.Equal(0x151u, Get(4));
        Assert.Equal(0x100u, Get(4, dword11: 0x10_0000));
        Assert.Equal(0u, Get(4, select: 1, dword11: 0x10_0000));
        Assert.Equal(NvmeStatus.InvalidField, TryGet(4, out _, dword11: 0x01_0000));
        Assert.False(_features.IsTemperatureBeyond);
        Set(4, 0x10_0000 | 299);
        Assert.True(_features.IsTemperatureBeyond);
    }

    [Fact]
    public void VectorConfiguration_IsOneOfEachVector()
    {
        Assert.Equal(NvmeStatus.Success, Set(9, 0x10003));
        Assert.Equal(0x10003u, Get(9, dword11: 3));
        Assert.Equal(4u, Get(9, dword11: 4));
        Assert.Equal(3u, Get(9, select: 1, dword11: 3));
        Assert.Equal(NvmeStatus.InvalidField, TryGet(9, out _, dword11: 64));
    }

    [Fact]
    public void Queues_AfterTheFirstWasMade_AreASequenceError()
    {
        Assert.Equal(NvmeStatus.Success, Set(7, 0x03ff03ff, out uint granted));
        Assert.Equal(0x003e003eu, granted);
        Assert.Equal(NvmeStatus.CommandSequenceError, _features.Set(Command(7, 0), [], hasIoQueues: true, out _));
        Assert.Equal(0x003e003eu, Get(7));
    }

    [Fact]
    public void Save_OfAnything_IsNotPossible()
    {
        NvmeCommand command = Command(1, 7);
        command.Cdw10 |= 0x80000000;
        Assert.Equal(NvmeStatus.FeatureNotSaveable, _features.Set(command, [], false, out _));
        Assert.Equal(0u, Get(1));
    }

    [Fact]
    public void Select_AboveThree_IsAnInvalidField() => Assert.Equal(NvmeStatus.InvalidField, TryGet(1, out _, select: 4));

    [Theory]
    [InlineData(1, 1u, NvmeStatus.FeatureNotNamespaceSpecific)]
    [InlineData(1, 2u, NvmeStatus.InvalidNamespace)]
    [InlineData(1, 0xffffffffu, NvmeStatus.Success)]
    [InlineData(5, 1u, NvmeStatus.Success)]
    [InlineData(5, 0xffffffffu, NvmeStatus.Success)]
    [InlineData(5, 2u, NvmeStatus.InvalidNamespace)]
    public void Set_ForANamespace_OnlyWhatBelongsToOne(int feature, uint id, NvmeStatus expected)
    {
        NvmeCommand command = Command(feature, 3);
        command.NamespaceId = id;
        Assert.Equal(expected, _features.Set(command, [], false, out _));
        if (id == 2)
        {
            Assert.Equal(NvmeStatus.InvalidNamespace, _features.Get(command, [], out _));
        }
    }

    [Fact]
    public void WriteCache_WhereThereIsNone_IsUnknown()
    {
        NvmeFeatures features = Features(_plain);
        Assert.Equal(NvmeStatus.InvalidField, features.Set(Command(6, 0), [], false, out _));
        Assert.Equal(NvmeStatus.InvalidField, features.Get(Command(6, 0), [], out _));
        Assert.False(features.WriteThrough);
        Assert.False(_features.WriteThrough);
        Set(6, 0);
        Assert.True(_features.WriteThrough);
    }

    [Fact]
    public void HostBehavior_Data_IsKept()
    {
        NvmeCommand set = Command(0x16, 0);
        set.Opcode = 9;
        NvmeCommand get = Command(0x16, 0);
        get.Opcode = 10;
        Assert.Equal((512, 512, 0), (NvmeFeatures.DataLength(set), NvmeFeatures.DataLength(get), NvmeFeatures.DataLength(Command(1, 0))));
        byte[] data = new byte[512];
        data[0] = 1;
        Assert.Equal(NvmeStatus.Success, _features.Set(set, data, false, out _));
        byte[] got = new byte[512];
        got.AsSpan().Fill(0xaa);
        Assert.Equal(NvmeStatus.Success, _features.Get(get, got, out _));
        Assert.Equal(data, got);
        data[0] = 2;
        Assert.Equal(NvmeStatus.InvalidField, _features.Set(set, data, false, out _));
    }

    private static NvmeFeatures Features(INvmeBacking backing) =>
        new(new NvmeIdentity { SerialNumber = "S1" }, new NvmeNamespace(backing, 512, "S1"));

    private static NvmeCommand Command(int feature, uint value, int select = 0) =>
        new() { Cdw10 = (uint)feature | ((uint)select << 8), Cdw11 = value };

    private NvmeStatus Set(int feature, uint value) => Set(feature, value, out _);

    private NvmeStatus Set(int feature, uint value, out uint result) => _features.Set(Command(feature, value), [], false, out result);

    private NvmeStatus TryGet(int feature, out uint result, int select = 0, uint dword11 = 0) =>
        _features.Get(Command(feature, dword11, select), [], out result);

    private uint Get(int feature, int select = 0, uint dword11 = 0)
    {
        Assert.Equal(NvmeStatus.Success, TryGet(feature, out uint result, select, dword11));
        return result;
    }
}
