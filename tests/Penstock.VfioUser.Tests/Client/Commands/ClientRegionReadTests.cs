using System.Diagnostics;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>REGION_READ in the client's role.</summary>
public sealed class ClientRegionReadTests
{
    [Theory]
    [InlineData(0ul, 0u, 1)]
    [InlineData(0xffff_ffff_ffff_fff0ul, 8u, 8)]
    [InlineData(0x1234ul, 7u, 4096)]
    public void Request_IsTheStructure(ulong offset, uint region, int count) => FakeServer.Talk(
        s =>
        {
            WireMessage read = s.Expect(Cmd.RegionRead, WireClient.Access(offset, region, (uint)count));
            s.Reply(read, [.. read.Body, .. DmaWire.Pattern(1, count)]);
        },
        c =>
        {
            byte[] data = new byte[count];
            c.Read(region, offset, data);
            Assert.Equal(DmaWire.Pattern(1, count), data);
        });

    [Fact]
    public void Nothing_IsNotAskedFor() => FakeServer.Talk(static s => s.AwaitEnd(), static c => c.Read(0, 0, []));

    [Fact]
    public void LargestMessage_IsOne() => FakeServer.Talk(
        static s =>
        {
            WireMessage read = s.Expect(Cmd.RegionRead, WireClient.Access(0, 0, Cmd.Megabyte));
            s.Reply(read, [.. read.Body, .. DmaWire.Pattern(5, Cmd.Megabyte)]);
        },
        static c =>
        {
            byte[] data = new byte[Cmd.Megabyte];
            c.Read(0, 0, data);
            Assert.Equal(DmaWire.Pattern(5, Cmd.Megabyte), data);
        });

    [Theory]
    [InlineData(1, 5)]
    [InlineData(3, 4)]
    [InlineData(4096, 2)]
    public void ServersLimit_CutsTheAccess(int limit, int messages) => FakeServer.Talk(
        s =>
        {
            for (int i = 0; i < messages; i++)
            {
                uint count = (uint)(i == messages - 1 ? 1 : limit);
                WireMessage read = s.Expect(Cmd.RegionRead, WireClient.Access((ulong)(100 + (i * limit)), 2, count));
                s.Reply(read, [.. read.Body, .. Enumerable.Repeat((byte)i, (int)count)]);
            }
        },
        c =>
        {
            byte[] data = new byte[((messages - 1) * limit) + 1];
            c.Read(2, 100, data);
            Assert.Equal((byte)(messages - 1), data[^1]);
            Assert.Equal((byte)0, data[limit - 1]);
        },
        json: $$$"""{"capabilities":{"max_data_xfer_size":{{{limit}}}}}""");

    [Fact]
    public void ErrorInTheMiddle_TellsHowMuchWasRead() => FakeServer.Talk(
        static s =>
        {
            WireMessage read = s.Expect(Cmd.RegionRead);
            s.Reply(read, [.. read.Body, 1, 2, 3, 4]);
            s.Refuse(s.Expect(Cmd.RegionRead), Errno.EIO);
        },
        static c =>
        {
            byte[] data = new byte[10];
            Assert.Equal((Errno.EIO, 4), (c.TryRead(0, 0, data, out int done), done));
            Assert.Equal([1, 2, 3, 4, 0, 0, 0, 0, 0, 0], data);
        },
        json: """{"capabilities":{"max_data_xfer_size":4}}""");

    [Theory]
    [InlineData(9ul, 0u, 4u)]
    [InlineData(8ul, 1u, 4u)]
    [InlineData(8ul, 0u, 3u)]
    [InlineData(8ul, 0u, 0xffff_fffcu)]
    public void Reply_AboutSomethingElse_IsRefused(ulong offset, uint region, uint count) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.RegionRead), [.. WireClient.Access(offset, region, count), 1, 2, 3, 4]),
        static c => Assert.Equal((Errno.EPROTO, 0), (c.TryRead(0, 8, new byte[4], out int done), done)));

    [Fact]
    public void Reply_MoreThanAsked_LeavesTheRestOfTheBufferAlone() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.RegionRead), [.. WireClient.Access(0, 0, 8), 1, 2, 3, 4, 5, 6, 7, 8]),
        static c =>
        {
            byte[] data = new byte[16];
            Assert.Equal(Errno.EPROTO, c.TryRead(0, 0, data.AsSpan(4, 4), out _));
            Assert.Equal(new byte[16], data);
        });

    [Fact]
    public void Cancelled_ReturnsLongBeforeTheTimeIsUp() => FakeServer.Talk(
        static s => s.AwaitEnd(),
        static c =>
        {
            using var cancellation = new CancellationTokenSource(20);
            Assert.Equal(Errno.ECANCELED, c.TryRead(0, 0, new byte[4], out _, cancellation.Token));
            Assert.Null(c.Failure);
        },
        new VfioUserClientOptions { ReplyTime = TimeSpan.FromMinutes(10) });

    [Fact]
    public void Late_Reply_IsDropped() => FakeServer.Talk(
        static s =>
        {
            WireMessage late = s.Expect(Cmd.RegionRead);
            WireMessage next = s.Expect(Cmd.RegionRead);
            s.Reply(late, [.. late.Body, 9, 9, 9, 9]);
            s.Reply(next, [.. next.Body, 1, 2, 3, 4]);
        },
        static c =>
        {
            byte[] data = new byte[4];
            c.Connection.ReplyTime = TimeSpan.FromMilliseconds(50);
            Assert.Equal(Errno.ETIMEDOUT, c.TryRead(0, 0, data, out _));
            c.Connection.ReplyTime = TimeSpan.FromSeconds(20);
            Assert.Equal(Errno.None, c.TryRead(0, 0, data, out _));
            Assert.Equal([1, 2, 3, 4], data);
        });

    [Fact]
    public void Late_ReplyTwice_EndsTheConnection() => FakeServer.Talk(
        static s =>
        {
            WireMessage late = s.Expect(Cmd.RegionRead);
            s.Expect(Cmd.RegionRead);
            s.Reply(late, [.. late.Body, 9, 9, 9, 9]);
            s.Reply(late, [.. late.Body, 9, 9, 9, 9]);
        },
        static c =>
        {
            c.Connection.ReplyTime = TimeSpan.FromMilliseconds(50);
            Assert.Equal(Errno.ETIMEDOUT, c.TryRead(0, 0, new byte[4], out _));
            c.Connection.ReplyTime = TimeSpan.FromSeconds(20);
            Assert.Equal(Errno.EPROTO, c.TryRead(0, 0, new byte[4], out _));
        });

    [Fact]
    public void NoReplies_ToManyCommands_MeanADeadServer() => FakeServer.Talk(
        static s => s.AwaitEnd(),
        static c =>
        {
            long begun = Stopwatch.GetTimestamp();
            Errno errno = Errno.ETIMEDOUT;
            for (int i = 0; i < 40 && errno == Errno.ETIMEDOUT; i++)
            {
                errno = c.TryRead(0, 0, new byte[4], out _);
            }

            Assert.Equal(Errno.ENOTCONN, errno);
            Assert.NotNull(c.Failure);
            Assert.True(Stopwatch.GetElapsedTime(begun) > TimeSpan.FromMilliseconds(100));
        },
        new VfioUserClientOptions { ReplyTime = TimeSpan.FromMilliseconds(10) });
}
