using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>Servers that break no rule of the protocol at once, and would still keep their client waiting, or make it forget.</summary>
public sealed partial class SlyServerTests
{
    private const ulong Iova = 0x10_0000;
    private const int GetFlags = 3;
    private const int SetFlags = 4;
    private const int NonBlocking = 0x800;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>There is always something to read, and never a whole message.</summary>
    [Fact]
    public void Reply_ByteByByte_DoesNotKeepItsCallerLongerThanTheReplyTime()
    {
        bool wasInTime = false;
        using var returned = new ManualResetEventSlim();
        FakeServer.Talk(
            s =>
            {
                WireMessage command = s.Expect(Cmd.RegionRead);
                s.Send(WireClient.Header(command.Id, Cmd.RegionRead, 1 << 20, Cmd.TypeReply));
                for (int i = 0; i < 2000 && !returned.IsSet; i++)
                {
                    s.Send([0]);
                    Thread.Sleep(10);
                }

                wasInTime = returned.IsSet;
                s.Hangup();
            },
            c =>
            {
                Assert.Equal(Errno.ETIMEDOUT, c.TryRead(0, 0, new byte[4], out int _));
                returned.Set();
            },
            new VfioUserClientOptions { ReplyTime = TimeSpan.FromMilliseconds(300) });
        Assert.True(wasInTime, "the call returned only when the server had stopped");
    }

    /// <summary>Who gives up says nothing of the server.</summary>
    [Fact]
    public void Calls_CancelledOneAfterTheOther_DoNotEndTheConnection() => FakeServer.Talk(
        static s =>
        {
            List<WireMessage> commands = [.. Enumerable.Range(0, 30).Select(_ => s.Expect(Cmd.RegionRead))];
            commands.ForEach(m => s.Reply(m, [.. m.Body, 1]));
            s.Reply(s.Expect(Cmd.Reset), []);
        },
        static c =>
        {
            for (int i = 0; i < 30; i++)
            {
                Assert.Equal(Errno.ECANCELED, c.TryRead(0, 0, new byte[1], out int _, new CancellationToken(canceled: true)));
            }

            c.Reset();
        });

    /// <summary>The server shares the flags of the eventfds that it is given.</summary>
    [Fact]
    public void ErrorEventfd_FilledAndMadeBlocking_HoldsNobody() => FakeServer.Run(
        static s =>
        {
            s.Negotiate();
            s.DescribeCard();
            WireMessage set = s.Expect(Cmd.SetIrqs);
            int trap = Assert.Single(s.Descriptors).Value;
            Assert.Equal(0, fcntl(trap, SetFlags, fcntl(trap, GetFlags, 0) & ~NonBlocking));
            ulong full = ulong.MaxValue - 1;
            Assert.Equal(8, write(trap, ref full, 8));
            s.Reply(set, []);
            s.Hangup();
        },
        static (path, _) => RemoteScript.Use(path, static rig =>
        {
            using var error = EventDescriptor.Create(rig.Host.Ledger);
            VfioDeviceFile file = rig.Open();
            file.SetIrqs(new VfioIrqRequest
            {
                Index = VfioIrqs.Err,
                Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
                Count = 1,
                Events = new EventDescriptor?[] { error },
            });
            Handles.Await(() => rig.Device.Failure is not null, "the end of the server");
            var closing = new Thread(file.Dispose) { IsBackground = true };
            closing.Start();
            bool closed = closing.Join(Patience);
            error.SetFree();
            closing.Join();
            Assert.True(closed, "somebody waits in the eventfd");
        }));

    [Fact]
    public void Unmap_WhileLogged_WithoutABitmap_CountsAllAsWritten() => FakeServer.Run(
        static s =>
        {
            s.Negotiate();
            s.DescribeCard(logs: true);
            s.Reply(s.Expect(Cmd.DmaMap), []);
            WireMessage start = s.Expect(Cmd.Feature);
            s.Reply(start, start.Body);
            WireMessage unmap = s.Expect(Cmd.DmaUnmap);
            Assert.Equal(24 + 16, unmap.Body.Length);
            s.Refuse(unmap, Errno.EINVAL);
            unmap = s.Expect(Cmd.DmaUnmap, WireClient.Unmap(Iova, 0x4000));
            s.Reply(unmap, unmap.Body);
            WireMessage report = s.Expect(Cmd.Feature);
            s.Reply(report, [.. report.Body, .. new byte[8]]);
            s.AwaitEnd();
        },
        static (path, _) => RemoteScript.Use(path, static rig =>
        {
            using VfioDeviceFile file = rig.Open();
            file.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = 0x8000 }], 0x1000);
            rig.Container.UnmapDma(Iova, 0x4000);
            byte[] bitmap = new byte[1];
            file.ReportDmaLogging(Iova, 0x8000, 0x1000, bitmap);
            Assert.Equal(0x0f, bitmap[0]);
        }, static rig =>
        {
            var plain = ProcessMemory.Allocate(0x4000);
            rig.Container.MapDma(Iova, 0x4000, DmaAccess.ReadWrite, plain, 0);
            plain.Release();
        }));

    [LibraryImport("libc")]
    private static partial int fcntl(int fd, int command, int argument);

    [LibraryImport("libc")]
    private static partial nint write(int fd, ref ulong value, nuint size);
}
