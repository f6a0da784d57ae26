using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_GET_REGION_INFO in the client's role.</summary>
public sealed class ClientRegionInfoTests
{
    private const uint ReadWrite = 3;
    private const uint Mappable = 7;
    private const uint Caps = 8;
    private const ulong Size = 0x10000;

    [Fact]
    public void Request_IsTheStructure() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.GetRegionInfo, new Payload().U32(4096, 0, 5, 0).U64(0, 0)), Info(ReadWrite, 0)),
        static c => Assert.Equal((5, VfioRegionFlags.Read | VfioRegionFlags.Write, Size), Of(c.GetRegionInfo(5))));

    [Fact]
    public void Request_ReplyNeedsMoreRoom_IsRepeatedWithIt() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.GetRegionInfo), new Payload().U32(8192, Mappable, 5, 0).U64(Size, 0));
            WireMessage again = s.Expect(Cmd.GetRegionInfo, new Payload().U32(8192, 0, 5, 0).U64(0, 0));
            using MemoryFile file = Handles.Memory(Size);
            s.Reply(again, [.. Info(Mappable | Caps, 32, 8192), .. Sparse(0, [(0x1000, 0x1000)]), .. new byte[8192 - 32 - 32]], descriptors: file.Number());
        },
        static c => Assert.Equal([new VfioRegionArea(0x1000, 0x1000)], c.GetRegionInfo(5).MappableAreas));

    [Theory]
    [InlineData(300_000u)]
    [InlineData(uint.MaxValue)]
    public void Request_ReplyNeedsTooMuch_IsRefused(uint needed) => Unsound(static n => new Payload().U32(n, Mappable, 5, 0).U64(Size, 0), needed);

    [Fact]
    public void Request_ReplyNeedsMoreAndMore_IsRefused() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.GetRegionInfo), new Payload().U32(8192, Mappable, 5, 0).U64(Size, 0));
            s.Reply(s.Expect(Cmd.GetRegionInfo), new Payload().U32(9000, Mappable, 5, 0).U64(Size, 0));
        },
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetRegionInfo(5)).Errno));

    [Fact]
    public void Reply_OtherIndex_IsRefused() => Unsound(static _ => new Payload().U32(32, ReadWrite, 4, 0).U64(Size, 0));

    [Fact]
    public void Reply_UnknownFlags_AreDropped() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.GetRegionInfo), Info(ReadWrite | 0xfff0, 0)),
        static c => Assert.Equal((5, VfioRegionFlags.Read | VfioRegionFlags.Write, Size), Of(c.GetRegionInfo(5))));

    [Fact]
    public void Mmap_WithoutDescriptor_IsNotOffered() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.GetRegionInfo), [.. Info(Mappable | Caps, 32), .. Sparse(0, [(0x1000, 0x1000)])]),
        static c => Assert.Equal((VfioRegionFlags.Read | VfioRegionFlags.Write, null), (c.GetRegionInfo(5) is var i ? i.Flags : 0, i.MappableAreas)));

    [Fact]
    public void Mmap_WithoutCapability_IsTheWholeRegion() => Mapped(Info(Mappable, 0), 1, null);

    [Fact]
    public void Mmap_OneAreaOverEverything_IsTheWholeRegion() => Mapped([.. Info(Mappable | Caps, 32), .. Sparse(0, [(0, Size)])], 1, null);

    [Fact]
    public void Mmap_SparseAreas_AreTold() => Mapped(
        [.. Info(Mappable | Caps, 32), .. Sparse(0, [(0x1000, 0x1000), (0x4000, 0x2000)])], 1, [new(0x1000, 0x1000), new(0x4000, 0x2000)]);

    [Fact]
    public void Mmap_DescriptorForEachArea_AreTold() => Mapped(
        [.. Info(Mappable | Caps, 32), .. Files(16, 0, [(0x1000, 0, 0x1000, 0), (0x4000, 0x1000, 0x1000, 1)])], 2, [new(0x1000, 0x1000), new(0x4000, 0x1000)]);

    [Fact]
    public void Mmap_DescriptorForEachArea_NewerNumber_AreTold() => Mapped(
        [.. Info(Mappable | Caps, 32), .. Files(0x8001, 0, [(0x2000, 0, 0x1000, 1)])], 2, [new(0x2000, 0x1000)]);

    [Fact]
    public void Mmap_BothCapabilities_TheOneWithDescriptorsCounts() => Mapped(
        [.. Info(Mappable | Caps, 32), .. Sparse(64, [(0x1000, 0x1000)]), .. Files(16, 0, [(0x2000, 0, 0x1000, 0)])], 1, [new(0x2000, 0x1000)]);

    [Fact]
    public void Mmap_NoArea_IsNotOffered() => FakeServer.Talk(
        static s =>
        {
            using MemoryFile file = Handles.Memory(Size);
            s.Reply(s.Expect(Cmd.GetRegionInfo), [.. Info(Mappable | Caps, 32), .. Sparse(0, [])], descriptors: file.Number());
        },
        static c => Assert.Equal(VfioRegionFlags.Read | VfioRegionFlags.Write, c.GetRegionInfo(5).Flags));

    [Fact]
    public void Capabilities_UnknownOnes_ArePassedOver() => Mapped(
        [.. Info(Mappable | Caps, 32), .. new Payload().U16(99, 1).U32(48).U64(7).ToBytes(), .. Sparse(0, [(0x1000, 0x1000)])], 1, [new(0x1000, 0x1000)]);

    [Fact]
    public void Capabilities_TypeAndMsix_AreTold() => FakeServer.Talk(
        static s => s.Reply(
            s.Expect(Cmd.GetRegionInfo),
            [.. Info(ReadWrite | Caps, 32), .. new Payload().U16(2, 1).U32(48, 0x80001234, 3).ToBytes(), .. new Payload().U16(3, 1).U32(0).ToBytes()]),
        static c => Assert.Equal((new VfioRegionType(0x80001234, 3), true), (c.GetRegionInfo(5) is var i ? i.Type!.Value : default, i.IsMsixMappable)));

    [Theory]
    [InlineData(1u)]
    [InlineData(31u)]
    [InlineData(33u)]
    [InlineData(57u)]
    [InlineData(4096u)]
    [InlineData(0x7fff_ffffu)]
    [InlineData(uint.MaxValue)]
    public void Capabilities_OffsetOutside_IsRefused(uint offset) => Unsound(static o => [.. Info(Mappable | Caps, o), .. Sparse(0, [(0, 0x1000)])[..24]], offset);

    [Theory]
    [InlineData(32u)]
    [InlineData(33u)]
    [InlineData(8u)]
    [InlineData(64u)]
    [InlineData(uint.MaxValue)]
    public void Capabilities_ChainTurnsBackOrLeads_Outside_IsRefused(uint next) => Unsound(static n => [.. Info(Mappable | Caps, 32), .. Sparse(n, [(0, 0x1000)])], next);

    [Theory]
    [InlineData(2u)]
    [InlineData(0x1000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Capabilities_MoreAreasThanBytes_IsRefused(uint count) => Unsound(
        static n => [.. Info(Mappable | Caps, 32), .. new Payload().U16(1, 1).U32(0, n, 0).U64(0, 0x1000).ToBytes()], count);

    [Theory]
    [InlineData(2u)]
    [InlineData(0x0800_0000u)]
    [InlineData(uint.MaxValue)]
    public void Capabilities_MoreFileAreasThanBytes_IsRefused(uint count) => Unsound(
        static n => [.. Info(Mappable | Caps, 32), .. new Payload().U16(16, 1).U32(0, n, 0).U64(0, 0, 0x1000).U32(0, 0).ToBytes()], count);

    [Theory]
    [InlineData(0ul, 0ul)]
    [InlineData(Size, 0x1000ul)]
    [InlineData(0x1000ul, Size)]
    [InlineData(0ul, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 1ul)]
    [InlineData(0xffff_ffff_ffff_f000ul, 0x2000ul)]
    public void Area_Outside_IsRefused(ulong offset, ulong size) => FakeServer.Talk(
        s =>
        {
            using MemoryFile file = Handles.Memory(Size);
            s.Reply(s.Expect(Cmd.GetRegionInfo), [.. Info(Mappable | Caps, 32), .. Sparse(0, [(offset, size)])], descriptors: file.Number());
        },
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetRegionInfo(5)).Errno));

    [Theory]
    [InlineData(1u, 0ul)]
    [InlineData(uint.MaxValue, 0ul)]
    [InlineData(0u, 0x8000_0000_0000_0000ul)]
    [InlineData(0u, ulong.MaxValue)]
    [InlineData(0u, 0x7fff_ffff_ffff_fffful)]
    public void FileArea_OutsideOfDescriptorsOrFile_IsRefused(uint index, ulong fileOffset) => FakeServer.Talk(
        s =>
        {
            using MemoryFile file = Handles.Memory(Size);
            s.Reply(s.Expect(Cmd.GetRegionInfo), [.. Info(Mappable | Caps, 32), .. Files(16, 0, [(0x1000, fileOffset, 0x1000, index)])], descriptors: file.Number());
        },
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetRegionInfo(5)).Errno));

    private static void Mapped(byte[] reply, int files, VfioRegionArea[]? areas) => FakeServer.Talk(
        s =>
        {
            MemoryFile[] given = [.. Enumerable.Range(0, files).Select(static _ => Handles.Memory(Size))];
            s.Reply(s.Expect(Cmd.GetRegionInfo), reply, descriptors: [.. given.Select(static f => f.Number())]);
            given.DisposeAll();
        },
        c =>
        {
            VfioRegionInfo info = c.GetRegionInfo(5);
            Assert.Equal(VfioRegionFlags.Read | VfioRegionFlags.Write | VfioRegionFlags.Mmap, info.Flags);
            Assert.Equal(areas, info.MappableAreas);
        });

    private static void Unsound(Func<uint, byte[]> reply, uint argument = 0) => FakeServer.Talk(
        s =>
        {
            using MemoryFile file = Handles.Memory(Size);
            s.Reply(s.Expect(Cmd.GetRegionInfo), reply(argument), descriptors: file.Number());
            s.Reply(s.Expect(Cmd.Reset), []);
        },
        static c =>
        {
            Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetRegionInfo(5)).Errno);
            c.Reset();
        });

    private static byte[] Info(uint flags, uint capabilities, uint argsz = 32) => new Payload().U32(argsz, flags, 5, capabilities).U64(Size, 0);

    private static byte[] Sparse(uint next, (ulong Offset, ulong Size)[] areas)
    {
        Payload payload = new Payload().U16(1, 1).U32(next, (uint)areas.Length, 0);
        Array.ForEach(areas, a => payload.U64(a.Offset, a.Size));
        return payload;
    }

    private static byte[] Files(ushort id, uint next, (ulong Offset, ulong File, ulong Size, uint Index)[] areas)
    {
        Payload payload = new Payload().U16(id, 1).U32(next, (uint)areas.Length, 0);
        Array.ForEach(areas, a => payload.U64(a.Offset, a.File, a.Size).U32(a.Index, 0));
        return payload;
    }

    private static (int, VfioRegionFlags, ulong) Of(VfioRegionInfo info) => (info.Index, info.Flags, info.Size);
}
