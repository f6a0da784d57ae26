using Penstock.Interop;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Features 6 to 8, DMA_UNMAP with a bitmap, and the row "dirty report with page-size conversion".</summary>
public sealed class DirtyReportTests : IDisposable
{
    private const ulong Size = 4 << 20;

    private readonly ServedFunction _served = new();
    private readonly MemoryFile _memory = Handles.Memory(Size);
    private readonly WireClient _client;

    public DirtyReportTests()
    {
        _client = _served.ConnectEnabled();
        _client.Succeed(Cmd.DmaMap, WireClient.Map(0, Size), _memory.Number());
    }

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
        _memory.Dispose();
    }

    [Fact]
    public void Start_PageHint_IsAnsweredWithTheDevicesOwn()
    {
        byte[] request = Start(512, (0, Size));
        WireMessage reply = _client.Call(Cmd.Feature, request);
        Assert.Equal(0u, reply.Error);
        Assert.Equal(request.Length, reply.Body.Length);
        Assert.Equal((4096u, 0u), (reply.U32(8), reply.U32(12)));
        Assert.Equal(request[16..], reply.Body[16..]);
    }

    [Fact]
    public void Start_RangesThatCannotBe_AreRefused()
    {
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Start(Page)));
        Assert.Equal(Errno.E2BIG, _client.Try(Cmd.Feature, Start(Page, [.. Enumerable.Range(0, 257).Select(static i => ((ulong)i * Page, Page))])));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Start(Page, (1, Page))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Start(Page, (0, Page - 1))));
        Assert.Equal(Errno.EOVERFLOW, _client.Try(Cmd.Feature, Start(Page, (ulong.MaxValue - Page + 1, Page))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Start(Page, (0, Page), (0, Page))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Report(0, Size, Page)));
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, [.. Enumerable.Range(0, 256).Select(static i => ((ulong)i * Page, Page))])));
    }

    [Theory]
    [InlineData(1u, 0)]
    [InlineData(1u, 15)]
    [InlineData(2u, 31)]
    [InlineData(256u, 4095)]
    [InlineData(uint.MaxValue, 64)]
    [InlineData(0x1000_0000u, 0)]
    public void Start_FewerRangesThanSaid_IsRefused(uint count, int bytes)
    {
        byte[] data = new Payload().U64(Page).U32(count, 0).Bytes(new byte[bytes]);
        Assert.Equal(count > 256 ? Errno.E2BIG : Errno.EINVAL, _client.Try(Cmd.Feature, Feature(6, Cmd.Set, data, argsz: 8192)));
        _client.AssertAlive();
    }

    [Fact]
    public void Start_TwiceStopReport_AsInVfio()
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        byte[] stop = Feature(7, Cmd.Set);
        Assert.Equal(stop, _client.Call(Cmd.Feature, stop).Body);
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Report(0, Size, Page)));
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Feature(7, Cmd.Set, new byte[100])));
    }

    [Theory]
    [InlineData(0ul, Size, 2048ul)]
    [InlineData(0ul, Size, 6000ul)]
    [InlineData(0ul, Size, 0ul)]
    [InlineData(0ul, 0ul, Page)]
    [InlineData(0ul, 1ul << 40, Page)]
    [InlineData(0ul, ulong.MaxValue, Page)]
    public void Report_ThatCannotBe_IsEinval(ulong iova, ulong size, ulong page)
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Report(iova, size, page)));
    }

    [Fact]
    public void Report_PastTheAddressSpace_IsEoverflow()
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.EOVERFLOW, _client.Try(Cmd.Feature, Report(ulong.MaxValue - Page + 1, Page, Page)));
    }

    [Theory]
    [InlineData(64ul * Page, 40u)]
    [InlineData(65ul * Page, 48u)]
    [InlineData(Size, 160u)]
    public void Report_Reply_HasWholeWordsAndMustFit(ulong size, uint length)
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.Feature, Report(0, size, Page, argsz: length - 1)));
        byte[] request = Report(0, size, Page, argsz: length);
        WireMessage reply = _client.Call(Cmd.Feature, request);
        Assert.Equal((0u, length, 8 | Cmd.Get), (reply.Error, reply.U32(0), reply.U32(4)));
        Assert.Equal((int)length, reply.Body.Length);
        Assert.Equal(request[8..32], reply.Body[8..32]);
        Assert.All(reply.Body[32..], static b => Assert.Equal(0, b));
    }

    [Fact]
    public void Report_BitmapLongerThanTheClientTakes_IsEinval()
    {
        _client.Dispose();
        _served.NextEnd();
        using WireClient small = _served.Connect("""{"capabilities":{"migration":{"pgsize":4096,"max_bitmap_size":16}}}""");
        Assert.Equal(Errno.None, small.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.None, small.Try(Cmd.Feature, Report(0, 128 * Page, Page)));
        Assert.Equal(Errno.EINVAL, small.Try(Cmd.Feature, Report(0, 129 * Page, Page)));
    }

    [Theory]
    [InlineData(8192ul, 4096ul)]
    [InlineData(4096ul, 8192ul)]
    [InlineData(4096ul, 4096ul)]
    [InlineData(65536ul, 1ul << 20)]
    [InlineData(2ul << 20, 4096ul)]
    [Trait("Row", "VU-F5")]
    public void Report_AnyPageSizesAndRange_AgreeWithNaiveModel(ulong logged, ulong reported)
    {
        var random = new Random(5);
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(logged, (0, Size))));
        for (int round = 0; round < 20; round++)
        {
            var dirty = new HashSet<ulong>();
            for (int i = 0; i < 12; i++)
            {
                int length = random.Next(1, 10_000);
                ulong at = (ulong)random.Next((int)Size - length);
                Assert.Equal(Errno.None, _served.DmaWrite(at, new byte[length]));
                for (ulong page = at / logged; page <= (at + (ulong)length - 1) / logged; page++)
                {
                    dirty.Add(page);
                }
            }

            // Not one of the client's mappings: any range will do.
            ulong start = (ulong)random.Next(4) * (Size / 8);
            WireMessage reply = _client.Call(Cmd.Feature, Report(start, Size - start, reported));
            Assert.Equal(0u, reply.Error);
            for (ulong bit = 0; bit < (ulong)(reply.Body.Length - 32) * 8; bit++)
            {
                bool expected = false;
                for (ulong at = start + (bit * reported); at < start + ((bit + 1) * reported) && at < Size; at += 4096)
                {
                    expected |= dirty.Contains(at / logged);
                }

                Assert.Equal(expected, (reply.Body[32 + (int)(bit / 8)] & (1 << (int)(bit % 8))) != 0);
            }

            // Reading forgets.
            Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Report(0, Size, reported)));
            Assert.All(_client.Call(Cmd.Feature, Report(0, Size, reported)).Body[32..], static b => Assert.Equal(0, b));
        }
    }

    [Fact]
    public void Log_Disconnect_EndsIt()
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        _client.Dispose();
        _served.NextEnd();
        using WireClient next = _served.Connect();
        Assert.Equal(Errno.EINVAL, next.Try(Cmd.Feature, Report(0, Size, Page)));
        Assert.Equal(Errno.None, next.Try(Cmd.Feature, Start(Page, (0, Size))));
    }

    [Fact]
    public void UnmapDirty_Logged_TellsOnceAndUnmaps()
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.None, _served.DmaWrite(3 * Page, new byte[8]));
        Assert.Equal(Errno.None, _served.DmaWrite(1000 * Page, new byte[8]));
        byte[] request = UnmapDirty(0, Size, Page, 128);
        WireMessage reply = _client.Call(Cmd.DmaUnmap, request);
        Assert.Equal(0u, reply.Error);
        Assert.Equal(request, reply.Body[..40]);
        Assert.Equal(40 + 128, reply.Body.Length);
        byte[] expected = new byte[128];
        expected[0] = 8;
        expected[125] = 1;
        Assert.Equal(expected, reply.Body[40..]);
        Assert.All(_client.Call(Cmd.Feature, Report(0, Size, Page)).Body[32..], static b => Assert.Equal(0, b));
        Assert.Equal(Errno.EFAULT, _served.DmaWrite(0, new byte[8]));
    }

    [Theory]
    [InlineData(Page, 127ul, (uint)Cmd.Megabyte, 1u)]
    [InlineData(Page, 128ul, 167u, 1u)]
    [InlineData(2048ul, 4096ul, (uint)Cmd.Megabyte, 1u)]
    [InlineData(5000ul, 4096ul, (uint)Cmd.Megabyte, 1u)]
    [InlineData(Page, 128ul, (uint)Cmd.Megabyte, 3u)]
    [InlineData(Page, 128ul, (uint)Cmd.Megabyte, 5u)]
    public void UnmapDirty_ThatCannotBe_IsEinvalAndUnmapsNothing(ulong page, ulong bitmap, uint argsz, uint flags)
    {
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.DmaUnmap, UnmapDirty(0, Size, page, bitmap, argsz, flags)));
        Assert.Equal(Errno.None, _served.DmaWrite(0, new byte[8]));
    }

    [Fact]
    public void UnmapDirty_ShortBodyOrNotLogged_IsEinvalAndUnmapsNothing()
    {
        byte[] request = UnmapDirty(0, Size, Page, 128);
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.DmaUnmap, request));
        Assert.Equal(Errno.None, _client.Try(Cmd.Feature, Start(Page, (0, Size))));
        for (int length = 24; length < 40; length++)
        {
            Assert.Equal(Errno.EINVAL, _client.Try(Cmd.DmaUnmap, request[..length]));
        }

        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.DmaUnmap, UnmapDirty(0, Size / 2, Page, 128)));
        Assert.Equal(Errno.None, _served.DmaWrite(0, new byte[8]));
    }
}
