using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>
/// A server of nothing but bytes: it says what the test's script says, on a thread of its own. It shares no protocol code with the client but the one that
/// cuts a stream into messages.
/// </summary>
internal sealed class FakeServer : IDisposable
{
    /// <summary>What a server says that accepts everything, without a twin socket.</summary>
    public const string Json =
        """{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"max_dma_maps":65535,"pgsizes":4096,"write_multiple":true}}""";

    private static readonly FrameFormat Format = new(16, 4, 2 * Cmd.Megabyte);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly TemporaryFolder _folder = new();
    private readonly UnixSocketListener _listener;
    private UnixSocket? _socket;
    private FramedReceiver? _receiver;

    private FakeServer() => _listener = UnixSocketListener.Listen(Path);

    public string Path => _folder.File("s");

    public UnixSocket Socket => _socket!;

    /// <summary>Descriptors of the last message.</summary>
    public List<OwnedDescriptor> Descriptors { get; } = [];

    /// <summary>Runs a script as the server, and a user beside it. Everything that the client took must be given back at the end.</summary>
    public static void Run(Action<FakeServer> script, Action<string, ResourceLedger> user)
    {
        var ledger = new ResourceLedger();
        using var server = new FakeServer();
        Exception? fault = null;
        var thread = new Thread(() =>
        {
            try
            {
                script(server);
            }
            catch (Exception e)
            {
                fault = e;
                server._socket?.Shutdown();
            }
        })
        {
            IsBackground = true,
        };
        thread.Start();
        Exception? failed = null;
        try
        {
            user(server.Path, ledger);
        }
        catch (Exception e)
        {
            failed = e;
        }

        server._listener.Stop();
        Assert.True(thread.Join(Patience), "the script did not end");
        Assert.True(fault is null, $"script: {fault}; user: {failed}");
        Assert.True(failed is null, $"user: {failed}");
        Assert.True(ledger.Total == 0, $"left behind: {ledger}");
    }

    /// <summary>Runs a script behind the negotiation, and a client that has negotiated.</summary>
    public static void Talk(Action<FakeServer> script, Action<VfioUserClient> use, VfioUserClientOptions? options = null, string json = Json) => Run(
        server =>
        {
            server.Negotiate(json);
            script(server);
        },
        (path, ledger) =>
        {
            // A short time is for what the script does, not for the negotiation on a busy machine.
            using var client = VfioUserClient.Connect(path, Patient.Make(options) with { Ledger = ledger, ReplyTime = Patient.Time });
            client.Connection.ReplyTime = Patient.Make(options).ReplyTime;
            use(client);
        });

    public void Accept()
    {
        Hangup();
        _socket = _listener.Accept();
        Assert.NotNull(_socket);
        _socket.SetReceiveTimeout(Patience);
        _receiver = new FramedReceiver(_socket, Format);
    }

    public void Negotiate(string json = Json, params ReadOnlySpan<int> descriptors)
    {
        Accept();
        WireMessage version = Expect(Cmd.Version);
        Reply(version, WireClient.Version(0, json), descriptors: descriptors);
    }

    /// <summary>Answers what a remote device asks at its open: a card with BAR 0, configuration space, MSI and MSI-X, which does not migrate.</summary>
    public void DescribeCard(Action<WireMessage>? answerBar = null, bool logs = false)
    {
        Reply(Expect(Cmd.GetInfo), new Payload().U32(16, 3, 9, 5));
        for (uint i = 0; i < 9; i++)
        {
            if (i == 0 && answerBar is not null)
            {
                answerBar(Expect(Cmd.GetRegionInfo));
                continue;
            }

            ulong size = i switch { 0 => 0x10000ul, Cmd.ConfigRegion => 256, _ => 0 };
            Reply(Expect(Cmd.GetRegionInfo), new Payload().U32(32, size == 0 ? 0u : 3, i, 0).U64(size, 0));
        }

        for (uint i = 0; i < 5; i++)
        {
            Reply(Expect(Cmd.GetIrqInfo), new Payload().U32(16, 1, i, i switch { 0 => 0u, 1 => 4, 2 => 8, _ => 1 }));
        }

        Refuse(Expect(Cmd.Feature), Errno.ENOTTY);
        WireMessage probe = Expect(Cmd.Feature);
        if (logs)
        {
            Reply(probe, probe.Body);
        }
        else
        {
            Refuse(probe, Errno.ENOTTY);
        }
    }

    public WireMessage Receive()
    {
        ReceiveStatus status = _receiver!.Receive(wait: true, out Span<byte> message);
        Assert.Equal(ReceiveStatus.Message, status);
        Descriptors.DisposeAll();
        Descriptors.Clear();
        for (int i = 0; i < _receiver.DescriptorCount; i++)
        {
            Descriptors.Add(_receiver.TakeDescriptor(i));
        }

        return new WireMessage(message.ToArray());
    }

    /// <summary>The next message, which is this command.</summary>
    public WireMessage Expect(ushort command, uint flags = 0)
    {
        WireMessage message = Receive();
        Assert.Equal((command, flags), (message.Command, message.Flags));
        return message;
    }

    /// <summary>The next message, which is this command with exactly this payload.</summary>
    public WireMessage Expect(ushort command, byte[] body, uint flags = 0)
    {
        WireMessage message = Expect(command, flags);
        Assert.Equal(body, message.Body);
        return message;
    }

    public void Reply(WireMessage command, byte[] body, uint flags = Cmd.TypeReply, uint error = 0, params ReadOnlySpan<int> descriptors) =>
        Send(WireClient.Message(command.Id, command.Command, body, flags, error), descriptors);

    public void Refuse(WireMessage command, Errno errno) => Reply(command, [], Cmd.TypeReply | Cmd.ErrorFlag, (uint)errno);

    /// <summary>Sends a command of the server.</summary>
    public void Command(ushort id, ushort command, byte[] body, uint flags = 0, params ReadOnlySpan<int> descriptors) =>
        Send(WireClient.Message(id, command, body, flags), descriptors);

    public void Send(byte[] bytes, params ReadOnlySpan<int> descriptors) => _socket!.Send(bytes, descriptors);

    /// <summary>The client's answer to a command of the server.</summary>
    public WireMessage Answer(ushort id, ushort command, uint error = 0)
    {
        WireMessage message = Receive();
        Assert.Equal((id, command, error == 0 ? Cmd.TypeReply : Cmd.TypeReply | Cmd.ErrorFlag, error), (message.Id, message.Command, message.Flags, message.Error));
        return message;
    }

    /// <summary>Waits for the client's end of the connection.</summary>
    public void AwaitEnd()
    {
        ReceiveStatus status;
        while ((status = _receiver!.Receive(wait: true, out _)) == ReceiveStatus.Message)
        {
        }

        Assert.True(status is ReceiveStatus.End or ReceiveStatus.Broken, $"{status}");
    }

    public void Hangup()
    {
        _receiver?.Dispose();
        _socket?.Dispose();
        _receiver = null;
        _socket = null;
    }

    public void Dispose()
    {
        Descriptors.DisposeAll();
        Hangup();
        _listener.Dispose();
        _folder.Dispose();
    }
}
