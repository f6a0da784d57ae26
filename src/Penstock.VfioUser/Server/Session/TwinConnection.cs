using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>
/// The second connection of a session, which carries the server's commands and their replies (vfio-user, "twin_socket"), so that neither
/// side has to tell them from the client's commands. A thread of its own receives. Its end ends the session, and the other way round.
/// </summary>
internal sealed class TwinConnection : IDisposable
{
    private readonly UnixSocket _socket;
    private readonly FramedReceiver _receiver;
    private readonly MessageSender _sender;
    private readonly IMessageObserver? _observer;
    private readonly ResourceLedger _ledger;
    private readonly Thread _thread;
    private UnixSocket? _clientsEnd;
    private Action? _ended;
    private StrongBox<SessionEnd>? _end;
    private bool _started;

    /// <summary>Makes the pair of sockets.</summary>
    /// <param name="name">Name of the device, for the thread.</param>
    /// <param name="format">How messages follow each other.</param>
    /// <param name="observer">Sees every message, or null.</param>
    /// <param name="ledger">Where everything is counted.</param>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public TwinConnection(string name, FrameFormat format, IMessageObserver? observer, ResourceLedger ledger)
    {
        (_socket, _clientsEnd) = UnixSocket.CreatePair(ledger);
        _receiver = new FramedReceiver(_socket, format, ledger);
        _sender = new MessageSender(_socket);
        _observer = observer;
        _ledger = ledger;
        _thread = new Thread(Receive) { IsBackground = true, Name = $"vfio-user twin {name}" };
    }

    /// <summary>The end that goes to the client.</summary>
    public int ClientsEnd => _clientsEnd!.Descriptor;

    public UnixSocket Socket => _socket;

    public FramedReceiver Receiver => _receiver;

    public MessageSender Sender => _sender;

    /// <summary>How the connection ended, if it was the first to end; else null.</summary>
    public SessionEnd? End => Volatile.Read(ref _end)?.Value;

    private DmaMessageChannel? Channel { get; set; }

    /// <summary>Begins to receive. The client has its end, which is closed here.</summary>
    /// <param name="channel">Who takes the replies.</param>
    /// <param name="ended">Called on the connection's thread when it has ended.</param>
    public void Start(DmaMessageChannel channel, Action ended)
    {
        _clientsEnd!.Dispose();
        _clientsEnd = null;
        Channel = channel;
        _ended = ended;
        _started = true;
        _ledger.Acquired(ResourceKind.Thread);
        _thread.Start();
    }

    /// <summary>
    /// Waits until what is just being sent is out. Whoever first changes what may be sent, and then replies on the other connection, knows
    /// that nothing leaves here behind that reply.
    /// </summary>
    public void WaitForSends()
    {
        _sender.Gate.Enter();
        _sender.Gate.Exit();
    }

    /// <summary>Ends the connection and waits for its thread.</summary>
    public void Stop()
    {
        _socket.Shutdown();
        if (_started)
        {
            _thread.Join();
        }
    }

    public void Dispose()
    {
        Stop();
        _clientsEnd?.Dispose();
        _receiver.Dispose();
        _sender.Dispose();
        _socket.Dispose();
    }

    private void Receive()
    {
        Channel!.ReceivingThread = Environment.CurrentManagedThreadId;
        SessionEnd end;
        try
        {
            end = ReceiveReplies();
        }
        catch (Exception fault)
        {
            end = new SessionEnd(SessionEndKind.Fault, fault.Message);
        }

        Volatile.Write(ref _end, new StrongBox<SessionEnd>(end));
        _ended!();
        _ledger.Released(ResourceKind.Thread);
    }

    private SessionEnd ReceiveReplies()
    {
        while (true)
        {
            if (Channel!.IsTurnOffered)
            {
                Channel.AwaitTurn();
            }

            switch (_receiver.Receive(wait: true, out Span<byte> message))
            {
                case ReceiveStatus.Message:
                    _observer?.OnMessage(true, message, _receiver.DescriptorCount);
                    VfioUserHeader header = MemoryMarshal.Read<VfioUserHeader>(message);
                    if ((header.Flags & VfioUserMessageFlags.TypeMask) != VfioUserMessageFlags.Reply)
                    {
                        return new SessionEnd(
                            SessionEndKind.ProtocolViolation, $"command {(ushort)header.Command} on the twin socket, which is for replies to the server's commands");
                    }

                    Channel.TakeReply(header, message[VfioUserHeader.Length..]);
                    break;
                case ReceiveStatus.WouldBlock:
                    break;
                case ReceiveStatus.End:
                    return new SessionEnd(SessionEndKind.ClientClosed, "the client closed the twin socket");
                case ReceiveStatus.Broken:
                    return new SessionEnd(SessionEndKind.ClientVanished, $"the twin socket broke: {_receiver.Error}");
                case ReceiveStatus.DescriptorsLost:
                    return new SessionEnd(SessionEndKind.ProtocolViolation, "descriptors were lost on the twin socket");
                default:
                    return new SessionEnd(SessionEndKind.ProtocolViolation, "a message of impossible length on the twin socket");
            }
        }
    }
}
