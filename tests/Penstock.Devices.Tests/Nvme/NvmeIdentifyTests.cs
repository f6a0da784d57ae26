using System.Buffers.Binary;
using System.Text;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Identify, byte by byte, at offsets that are written here once more.</summary>
public sealed class NvmeIdentifyTests : IDisposable
{
    private readonly MemoryNvmeBacking _memory = new(64 << 20);
    private readonly byte[] _page = new byte[4096];

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void Controller_Fields_StandWhereHostsLook()
    {
        Assert.Equal(NvmeStatus.Success, Ask(Identify(_memory), 1, 0));
        Assert.Equal((0x1234, 0x5678), (Word(0), Word(2)));
        Assert.Equal("S1".PadRight(20), Text(4, 20));
        Assert.Equal("Penstock NVMe disk".PadRight(40), Text(24, 40));
        Assert.Equal("1.0".PadRight(8), Text(64, 8));
        Assert.Equal(5, _page[77]);
        Assert.Equal(1, Word(78));
        Assert.Equal(0x00010400u, Dword(80));
        Assert.Equal(0x100u, Dword(92));
        Assert.Equal(1, _page[111]);
        Assert.Equal(0x100, Word(256));
        Assert.Equal((3, 3, 3, 6, 63, 0), (_page[258], _page[259], _page[260], _page[261], _page[262], _page[263]));
        Assert.Equal((343, 353), (Word(266), Word(268)));
        Assert.Equal(0, Word(320));
        Assert.Equal((0x66, 0x44), (_page[512], _page[513]));
        Assert.Equal(1u, Dword(516));
        Assert.Equal(1 | 4 | 8 | 16, Word(520));
        Assert.Equal(0, Word(522));
        Assert.Equal(0, _page[525] & 1);
        Assert.Equal((0, 0, 0u), (Word(526), Word(528), Dword(536)));
        Assert.StartsWith("nqn.2014-08.org.nvmexpress:uuid:", Text(768, 256), StringComparison.Ordinal);
        Assert.Equal(0, _page[768 + 255]);
    }

    [Fact]
    public void Controller_OfAFile_HasAWriteCacheAndFlushesAll()
    {
        using var disk = new CheckedBacking(1 << 20) { Blocks = true };
        Ask(Identify(disk), 1, 0);
        Assert.Equal(7, _page[525]);
    }

    [Theory]
    [InlineData(512, 9, 131072ul)]
    [InlineData(4096, 12, 16384ul)]
    public void Namespace_Fields_StandWhereHostsLook(int blockSize, int shift, ulong blocks)
    {
        Assert.Equal(NvmeStatus.Success, Ask(Identify(_memory, blockSize), 0, 1));
        Assert.Equal((blocks, blocks, blocks), (Qword(0), Qword(8), Qword(16)));
        Assert.Equal((0x10, 0, 0), (_page[24], _page[25], _page[26]));
        Assert.Equal(0x09, _page[33]);
        Assert.Equal(64ul << 20, Qword(48));
        Assert.Equal(0, (Word(72) + 1) % (Word(64) + 1));
        Assert.InRange((Word(72) + 1) << shift, 1, 128 << 10);
        Assert.Equal(0, _page[99]);
        Assert.Contains(_page.AsSpan(104, 16).ToArray(), b => b != 0);
        Assert.NotEqual(0ul, Qword(120));
        Assert.Equal((uint)shift << 16, Dword(128));
    }

    [Fact]
    public void Namespace_ReadOnlyWithoutDeallocation_SaysBoth()
    {
        using var disk = new CheckedBacking(1 << 20) { IsReadOnly = true, CanDeallocate = false };
        Ask(Identify(disk), 0, 1);
        Assert.Equal((0, 1), (_page[33], _page[99]));
    }

    [Theory]
    [InlineData(0, 0u)]
    [InlineData(0, 2u)]
    [InlineData(0, 0xffffffffu)]
    [InlineData(3, 0u)]
    [InlineData(3, 2u)]
    [InlineData(2, 0xfffffffeu)]
    [InlineData(2, 0xffffffffu)]
    [InlineData(5, 2u)]
    public void Namespace_ThatIsNotThere_IsRefused(int cns, uint id) =>
        Assert.Equal(NvmeStatus.InvalidNamespace, Ask(Identify(_memory), cns, id));

    [Theory]
    [InlineData(8)]
    [InlineData(0x10)]
    [InlineData(0x11)]
    [InlineData(0x1c)]
    [InlineData(0xff)]
    public void Cns_NotKnown_IsAnInvalidField(int cns) => Assert.Equal(NvmeStatus.InvalidField, Ask(Identify(_memory), cns, 1));

    [Fact]
    public void CommandSet_OtherThanNvm_IsAnInvalidField()
    {
        NvmeIdentify identify = Identify(_memory);
        Assert.Equal(NvmeStatus.Success, Ask(identify, 5, 1));
        Assert.Equal(NvmeStatus.Success, Ask(identify, 6, 0));
        Assert.Equal(NvmeStatus.InvalidField, Ask(identify, 5, 1, 2u << 24));
        Assert.Equal(NvmeStatus.InvalidField, Ask(identify, 6, 0, 2u << 24));
        Assert.Equal(NvmeStatus.InvalidField, Ask(identify, 7, 0, 2u << 24));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(7)]
    public void ActiveNamespaces_AfterAnId_AreThoseAbove(int cns)
    {
        Ask(Identify(_memory), cns, 0);
        Assert.Equal((1u, 0u), (Dword(0), Dword(4)));
        Ask(Identify(_memory), cns, 1);
        Assert.Equal(0u, Dword(0));
        Assert.Equal(NvmeStatus.Success, Ask(Identify(_memory), cns, 0xfffffffd));
    }

    [Fact]
    public void Descriptors_FollowEachOtherAndEnd()
    {
        Ask(Identify(_memory), 0, 1);
        byte[] nguid = _page[104..120];
        byte[] eui = _page[120..128];
        Ask(Identify(_memory), 3, 1);
        Assert.Equal([1, 8, 0, 0, .. eui], _page[..12]);
        Assert.Equal([2, 16, 0, 0, .. nguid], _page[12..32]);
        Assert.Equal([3, 16, 0, 0, .. nguid], _page[32..52]);
        Assert.Equal([4, 1, 0, 0, 0], _page[52..57]);
        Assert.Equal(new byte[4096 - 57], _page[57..]);
    }

    [Fact]
    public void Identifiers_OfTwoDisks_Differ()
    {
        var one = new NvmeNamespace(_memory, 512, "S1");
        var same = new NvmeNamespace(_memory, 512, "S1");
        var other = new NvmeNamespace(_memory, 512, "S2");
        Assert.Equal((one.Uuid, one.Eui64), (same.Uuid, same.Eui64));
        Assert.NotEqual(one.Uuid, other.Uuid);
        Assert.NotEqual(one.Eui64, other.Eui64);
    }

    [Fact]
    public void Controllers_FromAnId_AreThoseFromThere()
    {
        Ask(Identify(_memory), 0x13, 0);
        Assert.Equal((1, 1), (Word(0), Word(2)));
        Ask(Identify(_memory), 0x12, 1, controller: 2);
        Assert.Equal(0, Word(0));
    }

    private static NvmeIdentify Identify(INvmeBacking backing, int blockSize = 512) => new(
        new NvmeIdentity { SerialNumber = "S1", VendorId = 0x1234, SubsystemVendorId = 0x5678 }, new NvmeNamespace(backing, blockSize, "S1"));

    private NvmeStatus Ask(NvmeIdentify identify, int cns, uint id, uint dword11 = 0, uint controller = 0)
    {
        _page.AsSpan().Fill(0xaa);
        return identify.Answer(new NvmeCommand { Opcode = 6, NamespaceId = id, Cdw10 = (uint)cns | (controller << 16), Cdw11 = dword11 }, _page);
    }

    private string Text(int offset, int length) => Encoding.ASCII.GetString(_page, offset, length);

    private int Word(int offset) => BinaryPrimitives.ReadUInt16LittleEndian(_page.AsSpan(offset));

    private uint Dword(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_page.AsSpan(offset));

    private ulong Qword(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(_page.AsSpan(offset));
}
