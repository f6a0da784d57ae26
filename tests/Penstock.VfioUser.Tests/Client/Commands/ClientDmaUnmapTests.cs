using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DMA_UNMAP in the client's role.</summary>
public sealed class ClientDmaUnmapTests
{
    private const ulong Iova = 0x10_0000;

    [Fact]
    public void Request_IsTheStructure() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.DmaUnmap, WireClient.Unmap(Iova, 0x2000)), WireClient.Unmap(Iova, 0x2000)),
        static c => c.UnmapDma(Iova, 0x2000));

    [Fact]
    public void Reply_Empty_IsThatOfAServerWithoutDma() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.DmaUnmap), []), static c => c.UnmapDma(Iova, 0x2000));

    [Fact]
    public void Bitmap_IsAskedForAndRead() => FakeServer.Talk(
        static s => s.Reply(
            s.Expect(Cmd.DmaUnmap, [.. WireClient.Unmap(Iova, 0x80000, 1, 24 + 16 + 16), .. new Payload().U64(4096, 16).ToBytes()]),
            [.. WireClient.Unmap(Iova, 0x80000, 1, 24 + 16 + 16), .. new Payload().U64(4096, 16, 1ul << 63, 1).ToBytes()]),
        static c => Assert.Equal([1ul << 63, 1], c.UnmapDma(Iova, 0x80000, 4096)));

    [Fact]
    public void Bitmap_LongerThanAMessage_IsRefusedHere() => FakeServer.Talk(
        static s => s.AwaitEnd(),
        static c => Assert.Equal(Errno.EMSGSIZE, Assert.Throws<VfioException>(() => c.UnmapDma(0, 1ul << 50, 4096)).Errno));

    [Fact]
    public void Served_UntilTheReply() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            WireMessage unmap = s.Expect(Cmd.DmaUnmap);
            s.Command(1, Cmd.DmaRead, new Payload().U64(Iova, 4));
            s.Answer(1, Cmd.DmaRead);
            s.Reply(unmap, unmap.Body);
            s.Reply(s.Expect(Cmd.Reset), []);
            s.Command(2, Cmd.DmaRead, new Payload().U64(Iova, 4));
            s.Answer(2, Cmd.DmaRead, (uint)Errno.EFAULT);
            s.Hangup();
        },
        static c =>
        {
            var memory = ProcessMemory.Allocate(0x1000);
            c.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, memory);
            memory.Release();
            c.UnmapDma(Iova, 0x1000);
            c.Reset();
            Handles.Await(() => c.Failure is not null, "the server's end");
        });

    [Fact]
    public void Container_WholeRange_IsOneUnmapForEachMap() => RemoteScript.Run(
        static _ => { },
        static (_, rig) =>
        {
            using VfioDeviceFile device = rig.Open();
            var plain = ProcessMemory.Allocate(0x1000);
            for (ulong i = 1; i <= 3; i++)
            {
                rig.Container.MapDma(i * Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            }

            Assert.Equal(0x3000ul, rig.Container.UnmapDma(0, 0, all: true));
            plain.Release();
        },
        static s =>
        {
            for (int i = 0; i < 3; i++)
            {
                s.Reply(s.Expect(Cmd.DmaMap), []);
            }

            for (ulong i = 1; i <= 3; i++)
            {
                s.Reply(s.Expect(Cmd.DmaUnmap, WireClient.Unmap(i * Iova, 0x1000)), WireClient.Unmap(i * Iova, 0x1000));
            }
        });

    [Theory]
    [InlineData("refused")]
    [InlineData("unsound")]
    [InlineData("silent")]
    [InlineData("gone")]
    public Task Container_ServerDoesNotGiveBack_IsDisconnectedBeforeTheUnmapReturns(string how) => ShortTime.Try(
        how == "silent" ? TimeSpan.FromSeconds(2) : Patient.Time,
        time =>
        {
            RemoteScript.Run(
                static _ => { },
                (_, rig) =>
                {
                    using VfioDeviceFile device = time.Honest(rig.Open);
                    var plain = ProcessMemory.Allocate(0x1000);
                    time.Honest(() => rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0));
                    Assert.Equal(0x1000ul, rig.Container.UnmapDma(Iova, 0x1000));
                    Assert.NotNull(rig.Device.Failure);
                    plain.Release();
                },
                s =>
                {
                    s.Reply(s.Expect(Cmd.DmaMap), []);
                    WireMessage unmap = s.Expect(Cmd.DmaUnmap);
                    switch (how)
                    {
                        case "refused":
                            s.Refuse(unmap, Errno.ENOENT);
                            break;
                        case "unsound":
                            s.Reply(unmap, new byte[25]);
                            break;
                        case "gone":
                            s.Hangup();
                            return;
                    }

                    s.AwaitEnd();
                },
                options: new VfioUserClientOptions { ReplyTime = time.Length });
            return Task.CompletedTask;
        });

    [Fact]
    public void Container_WithoutItsGroup_TakesItsMapsFromTheServer() => FakeServer.Run(
        static s =>
        {
            s.Negotiate();
            s.DescribeCard();
            s.Reply(s.Expect(Cmd.DmaMap), []);
            s.AwaitEnd();
        },
        static (path, _) => RemoteScript.Use(path, static rig =>
        {
            var plain = ProcessMemory.Allocate(0x1000);
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            plain.Release();
            rig.Open().Dispose();
        }));

    [Fact]
    public void Iommufd_Detach_TakesAllMapsBack_AttachGivesThemAgain() => FakeServer.Run(
        static s =>
        {
            s.Negotiate();
            s.DescribeCard();
            for (int i = 0; i < 2; i++)
            {
                s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x1000)), []);
                s.Reply(s.Expect(Cmd.DmaUnmap, WireClient.Unmap(Iova, 0x1000)), WireClient.Unmap(Iova, 0x1000));
            }

            // A table that the server does not take: the one before is in force again.
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x1000)), []);
            s.Reply(s.Expect(Cmd.DmaUnmap, WireClient.Unmap(Iova, 0x1000)), WireClient.Unmap(Iova, 0x1000));
            s.Refuse(s.Expect(Cmd.DmaMap, WireClient.Map(2 * Iova, 0x1000)), Errno.ENOMEM);
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x1000)), []);
            s.AwaitEnd();
        },
        static (path, _) =>
        {
            var host = new VfioHost();
            using (var device = RemoteVfioDevice.Register(host, "remote", path, Patient.NoTwin))
            {
                using IommufdContext context = host.OpenIommufd(Caller.Current);
                Ioas first = context.AllocateIoas();
                Ioas second = context.AllocateIoas();
                var plain = ProcessMemory.Allocate(0x1000);
                first.Map(plain, 0, 0x1000, DmaAccess.ReadWrite, Iova);
                second.Map(plain, 0, 0x1000, DmaAccess.ReadWrite, 2 * Iova);
                plain.Release();
                using VfioCdevFile file = host.OpenCdev("remote", Caller.Current);
                file.Bind(context);
                file.Attach(first.Id);
                file.Detach();
                file.Attach(first.Id);
                file.Detach();
                file.Attach(first.Id);
                Assert.Equal(Errno.ENOMEM, Assert.Throws<VfioException>(() => file.Attach(second.Id)).Errno);
                Assert.Null(device.Failure);
            }

            host.Dispose();
            Assert.True(host.Ledger.Total == 0, $"left behind: {host.Ledger}");
        });
}
