using Microsoft.Win32.SafeHandles;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>What any reply may be, against every command of a client.</summary>
public sealed class ClientReplyTests
{
    /// <summary>Long enough for a busy machine where a reply comes, short where none does.</summary>
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(100);

    public static TheoryData<string> Commands => [.. ClientCommands.Names];

    /// <summary>Commands whose reply has a length of its own.</summary>
    public static TheoryData<string> Exact => [.. ClientCommands.Names.Where(static n => n is not ("SetIrqs" or "MapDma" or "UnmapDma" or "Reset" or "SetState" or "MigWrite" or "StartLogging"))];

    /// <summary>Commands that leave no room behind what they asked for.</summary>
    public static TheoryData<string> Bounded => [.. ClientCommands.Names.Where(static n => n is not ("GetRegionInfo" or "GetRegionIoFds" or "MigWrite"))];

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_AsItShouldBe_IsTaken(string command) => Talk(command, static (s, m, body) => s.Reply(m, body), null);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_ByteByByte_IsTaken(string command) => Talk(
        command,
        static (s, m, body) =>
        {
            foreach (byte b in WireClient.Message(m.Id, m.Command, body, Cmd.TypeReply))
            {
                s.Send([b]);
            }
        },
        null);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_Error_IsThrown(string command) => Talk(command, static (s, m, _) => s.Refuse(m, Errno.EBUSY), Errno.EBUSY, lives: true);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_ErrorWithPayload_IsThrown(string command) =>
        Talk(command, static (s, m, body) => s.Reply(m, body, Cmd.TypeReply | Cmd.ErrorFlag, (uint)Errno.EACCES), Errno.EACCES, lives: true);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_ErrorWithoutNumber_IsEinval(string command) =>
        Talk(command, static (s, m, _) => s.Reply(m, [], Cmd.TypeReply | Cmd.ErrorFlag, 0), Errno.EINVAL, lives: true);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_ErrorBeyondAllNumbers_IsEinval(string command) =>
        Talk(command, static (s, m, _) => s.Reply(m, [], Cmd.TypeReply | Cmd.ErrorFlag, 0xbeef), Errno.EINVAL, lives: true);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_WithAnotherId_EndsTheConnection(string command) =>
        Talk(command, static (s, m, body) => s.Send(WireClient.Message((ushort)(m.Id ^ 0x40), m.Command, body, Cmd.TypeReply)), Errno.EPROTO, lives: false);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_OfAnotherCommand_IsNotTaken(string command) =>
        Talk(command, static (s, m, body) => s.Send(WireClient.Message(m.Id, (ushort)(m.Command + 1), body, Cmd.TypeReply)), Errno.EPROTO);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_OfUnknownType_EndsTheConnection(string command) =>
        Talk(command, static (s, m, body) => s.Reply(m, body, 7), Errno.EPROTO, lives: false);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_ShorterThanAHeader_EndsTheConnection(string command) =>
        Talk(command, static (s, m, _) => s.Send(WireClient.Header(m.Id, m.Command, 15, Cmd.TypeReply)), Errno.EPROTO, lives: false);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_LongerThanAnyMessage_EndsTheConnection(string command) =>
        Talk(command, static (s, m, _) => s.Send(WireClient.Header(m.Id, m.Command, Cmd.Megabyte + 33, Cmd.TypeReply)), Errno.EPROTO, lives: false);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_OfNegativeLength_EndsTheConnection(string command) =>
        Talk(command, static (s, m, _) => s.Send(WireClient.Header(m.Id, m.Command, uint.MaxValue, Cmd.TypeReply)), Errno.EPROTO, lives: false);

    [Theory]
    [MemberData(nameof(Exact))]
    public void Reply_OneByteShort_IsNotTaken(string command) => Talk(command, static (s, m, body) => s.Reply(m, body[..^1]), Errno.EPROTO);

    [Theory]
    [MemberData(nameof(Exact))]
    public void Reply_WithoutPayload_IsNotTaken(string command) => Talk(command, static (s, m, _) => s.Reply(m, []), Errno.EPROTO);

    [Theory]
    [MemberData(nameof(Bounded))]
    public void Reply_OneByteLong_IsNotTaken(string command) => Talk(command, static (s, m, body) => s.Reply(m, [.. body, 0]), Errno.EPROTO);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_WithDescriptorsNobodyAskedFor_AreClosed(string command)
    {
        (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
        using (read)
        {
            Talk(
                command,
                (s, m, body) =>
                {
                    s.Reply(m, body, descriptors: [.. Enumerable.Repeat(write.Number(), 20)]);
                    write.Dispose();
                },
                null);
            Handles.AssertAllClosed(read);
        }
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_CutByTheServersEnd_IsEnotconn(string command) => Talk(
        command,
        static (s, m, body) =>
        {
            s.Send(WireClient.Message(m.Id, m.Command, body, Cmd.TypeReply)[..12]);
            s.Hangup();
        },
        Errno.ENOTCONN,
        lives: false);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_Never_ServerGone_IsEnotconn(string command) =>
        Talk(command, static (s, _, _) => s.Hangup(), Errno.ENOTCONN, lives: false);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Reply_Never_IsEtimedout(string command) => Talk(
        command,
        static (s, _, _) => s.AwaitEnd(),
        Errno.ETIMEDOUT,
        lives: null,
        new VfioUserClientOptions { ReplyTime = Short });

    private static void Talk(
        string command, Action<FakeServer, WireMessage, byte[]> answer, Errno? expected, bool? lives = null, VfioUserClientOptions? options = null) => FakeServer.Talk(
        server =>
        {
            WireMessage request = server.Expect(ClientCommands.Number(command));
            answer(server, request, ClientCommands.Reply(command, request.Body));
            if (lives == true)
            {
                WireMessage next = server.Expect(Cmd.Reset);
                server.Reply(next, []);
            }
        },
        client =>
        {
            if (expected is not { } errno)
            {
                ClientCommands.Call(command, client);
                Assert.Null(client.Failure);
                return;
            }

            VfioException thrown = Assert.Throws<VfioException>(() => ClientCommands.Call(command, client));
            Assert.Equal(errno, thrown.Errno);
            if (lives == true)
            {
                client.Reset();
            }
            else if (lives == false)
            {
                Assert.NotNull(client.Failure);
                Assert.Equal(Errno.ENOTCONN, Assert.Throws<VfioException>(client.Reset).Errno);
            }
        },
        options);
}
