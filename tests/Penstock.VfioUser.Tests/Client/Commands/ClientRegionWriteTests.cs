using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>REGION_WRITE in the client's role.</summary>
public sealed class ClientRegionWriteTests
{
    [Theory]
    [InlineData(0ul, 0u, 1)]
    [InlineData(0xffff_ffff_ffff_fff0ul, 8u, 8)]
    [InlineData(0x1234ul, 7u, 4096)]
    [InlineData(0ul, 0u, 1 << 20)]
    public void Request_IsStructureAndData(ulong offset, uint region, int count) => FakeServer.Talk(
        s =>
        {
            byte[] access = WireClient.Access(offset, region, (uint)count);
            s.Reply(s.Expect(Cmd.RegionWrite, [.. access, .. DmaWire.Pattern(1, count)]), access);
        },
        c => c.Write(region, offset, DmaWire.Pattern(1, count)));

    [Fact]
    public void ServersLimit_CutsTheAccess() => FakeServer.Talk(
        static s =>
        {
            for (ulong i = 0; i < 3; i++)
            {
                byte[] access = WireClient.Access(100 + (i * 4), 2, i == 2 ? 1u : 4);
                s.Reply(s.Expect(Cmd.RegionWrite, [.. access, .. DmaWire.Pattern((int)i * 4, i == 2 ? 1 : 4)]), access);
            }
        },
        static c => c.Write(2, 100, DmaWire.Pattern(0, 9)),
        json: """{"capabilities":{"max_data_xfer_size":4}}""");

    [Theory]
    [InlineData(9ul, 0u, 4u)]
    [InlineData(8ul, 1u, 4u)]
    [InlineData(8ul, 0u, 3u)]
    public void Reply_AboutSomethingElse_IsRefused(ulong offset, uint region, uint count) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.RegionWrite), WireClient.Access(offset, region, count)),
        static c => Assert.Equal((Errno.EPROTO, 0), (c.TryWrite(0, 8, [1, 2, 3, 4], out int done), done)));

    [Fact]
    public void Posted_WantsNoReply() => FakeServer.Talk(
        static s =>
        {
            for (byte i = 0; i < 100; i++)
            {
                s.Expect(Cmd.RegionWrite, [.. WireClient.Access(8, 0, 4), i, 2, 3, 4], Cmd.NoReply);
            }

            WireMessage read = s.Expect(Cmd.RegionRead);
            s.Reply(read, [.. read.Body, 5]);
        },
        static c =>
        {
            for (byte i = 0; i < 100; i++)
            {
                c.Write(0, 8, [i, 2, 3, 4], posted: true);
            }

            c.Read(0, 0, new byte[1]);
        });

    [Fact]
    public void Posted_ReplyAllTheSame_EndsTheConnection() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.RegionWrite, Cmd.NoReply), WireClient.Access(8, 0, 4)),
        static c =>
        {
            c.Write(0, 8, [1, 2, 3, 4], posted: true);
            Assert.Equal(Errno.EPROTO, c.TryRead(0, 0, new byte[1], out _));
        });

    [Fact]
    public void Posted_ServerReadsNothing_EndsInTime() => FakeServer.Talk(
        static s => Handles.Await(() => (Poll.Wait(s.Socket.Descriptor, PollEvents.None, TimeSpan.Zero) & PollEvents.HangUp) != 0, "the client's end"),
        static c =>
        {
            byte[] data = new byte[Cmd.Megabyte];
            Errno errno = Errno.None;
            for (int i = 0; i < 20 && errno == Errno.None; i++)
            {
                errno = c.TryWrite(0, 0, data, out _, posted: true);
            }

            Assert.Equal(Errno.ETIMEDOUT, errno);
            Handles.Await(() => c.Failure is not null, "the end of a server that reads nothing");
        },
        new VfioUserClientOptions { ReplyTime = TimeSpan.FromMilliseconds(200) });

    [Fact]
    public void Posted_ServerGone_IsToldSoonerOrLater() => FakeServer.Talk(
        static s => s.Hangup(),
        static c => Handles.Await(() => c.TryWrite(0, 0, [1], out _, posted: true) == Errno.ENOTCONN, "an error"));

    [Fact]
    public void Large_WhileTheServerWritesToo_NeitherStalls() => FakeServer.Talk(
        static s =>
        {
            // Both sides send more than the socket takes before either has read it.
            byte[] data = new byte[Cmd.Megabyte];
            for (int round = 0; round < 4; round++)
            {
                var writer = new Thread(() =>
                {
                    for (ushort i = 0; i < 3; i++)
                    {
                        s.Command(i, Cmd.DmaWrite, [.. new Payload().U64(0, Cmd.Megabyte).ToBytes(), .. data]);
                    }
                })
                {
                    IsBackground = true,
                };
                writer.Start();
                WireMessage? write = null;
                for (int refusals = 0; refusals < 3 || write is null;)
                {
                    WireMessage message = s.Receive();
                    if (message.IsCommand)
                    {
                        write = message;
                    }
                    else
                    {
                        Assert.Equal((Cmd.DmaWrite, (uint)Errno.EFAULT), (message.Command, message.Error));
                        refusals++;
                    }
                }

                writer.Join();
                s.Reply(write, write.Body[..16]);
            }
        },
        static c =>
        {
            byte[] data = new byte[Cmd.Megabyte];
            for (int i = 0; i < 4; i++)
            {
                c.Write(0, 0, data);
            }
        });
}
