using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// One connection: a user of VFIO like any other, who opens group, container and device file and speaks through messages. Runs on one thread. A
/// region access allocates nothing and makes two system calls, or one for a posted write.
/// </summary>
internal sealed unsafe partial class VfioUserSession : IDisposable
{
    private static readonly FrameFormat Format = new(VfioUserHeader.Length, VfioUserHeader.SizeOffset, VfioUserLimits.MaximumMessage);

    private const int RefusalsTold = 20;

    private readonly VfioUserEndpoint _endpoint;
    private readonly VfioUserServerOptions _options;
    private readonly UnixSocket _socket;
    private readonly PeerCredentials _peer;
    private readonly FramedReceiver _receiver;
    private readonly MessageSender _sender;
    private readonly ContainedObserver? _observer;
    private readonly SignalWatch _watch = new();
    private byte* _reply;

    private DmaMessageChannel _dmaChannel;
    private VfioGroup? _group;
    private VfioContainer? _container;
    private VfioDeviceFile? _file;
    private PeerLimits _limits = new();
    private SessionEnd? _end;
    private ulong[] _regionSizes = [];
    private readonly long _begun = Stopwatch.GetTimestamp();
    private bool _negotiated;
    private bool _toldStrayReply;
    private int _refusals;
    private volatile bool _stopping;
    private volatile bool _notReading;

    public VfioUserSession(VfioUserEndpoint endpoint, VfioUserServerOptions options, UnixSocket socket)
    {
        _endpoint = endpoint;
        _options = options;
        _socket = socket;
        _peer = socket.GetPeerCredentials();
        _receiver = new FramedReceiver(socket, Format, endpoint.Host.Ledger);
        _sender = new MessageSender(socket);
        _observer = options.Observer is null ? null : new ContainedObserver(options.Observer, options.Log);
        _dmaChannel = CreateChannel(socket, _receiver, _sender);

        // Zeroes: a model that fills less than it was asked for must not show what another client left.
        _reply = NativeBlock.Allocate<byte>(VfioUserLimits.MaximumMessage, endpoint.Host.Ledger);
    }

    /// <summary>Whether the client has said which version it speaks.</summary>
    public bool IsNegotiated => _negotiated;

    /// <summary>Eventfds of the client that the session keeps.</summary>
    public int WatchedEventfds => _watch.Count;

    /// <summary>Serves until the connection ends. Never throws.</summary>
    /// <returns>How it ended.</returns>
    public SessionEnd Run()
    {
        _dmaChannel.ReceivingThread = Environment.CurrentManagedThreadId;
        try
        {
            if (TryOpenDevice())
            {
                while (_end is null)
                {
                    ServeNext();
                }

                SendRest();
            }
        }
        catch (Exception fault)
        {
            Log($"fault in the session: {fault}");
            End(SessionEndKind.Fault, fault.Message);
        }

        return _stopping ? new SessionEnd(SessionEndKind.Stopped, "the server was stopped")
            : _notReading ? new SessionEnd(SessionEndKind.ClientNotReading, NotReading("messages wait"))
            : _end is { Kind: SessionEndKind.ClientClosed or SessionEndKind.ClientVanished } && _twin?.End is { } first ? first
            : _end!.Value;
    }

    /// <summary>Makes <see cref="Run"/> return soon. May be called from any thread.</summary>
    public void Stop()
    {
        _stopping = true;
        _socket.Shutdown();
    }

    /// <summary>Gives everything back that the client made the session hold.</summary>
    public void Dispose()
    {
        _socket.Shutdown();
        _dmaChannel.Close();
        _twin?.Stop();
        _migrationData?.Dispose();
        _file?.Dispose();
        WithdrawRegions();
        _watch.Dispose();
        _group?.Dispose();
        _container?.Dispose();
        _endpoint.Host.Mappings.Trim();
        _dmaChannel.Dispose();
        _twin?.Dispose();
        _receiver.Dispose();
        _sender.Dispose();
        _socket.Dispose();
        NativeBlock.Free(ref _reply, _endpoint.Host.Ledger);
    }

    private void ServeNext()
    {
        if (_twin is null && _dmaChannel.IsTurnOffered)
        {
            _dmaChannel.AwaitTurn();
        }

        bool wait = true;
        if (_sender.HasBacklog)
        {
            wait = false;
            if (!WaitWithBacklog())
            {
                return;
            }
        }

        if (!_negotiated)
        {
            wait = false;
            if (!WaitForVersion())
            {
                return;
            }
        }

        ReceiveStatus status = _receiver.Receive(wait, out Span<byte> message);
        switch (status)
        {
            case ReceiveStatus.Message:
                _observer?.OnMessage(true, message, _receiver.DescriptorCount);
                Dispatch(message);
                break;
            case ReceiveStatus.WouldBlock:
                break;
            case ReceiveStatus.BadLength:
                RefuseLength(MemoryMarshal.Read<VfioUserHeader>(message));
                break;
            case ReceiveStatus.DescriptorsLost:
                End(SessionEndKind.ProtocolViolation, "descriptors were lost on the way (too many, or this process has none left)");
                break;
            case ReceiveStatus.End:
                End(SessionEndKind.ClientClosed, "the client closed the connection");
                break;
            default:
                EndBroken(_receiver.Error);
                break;
        }
    }

    /// <summary>With replies left to send, waits for room or for input, so that neither side starves.</summary>
    private bool WaitWithBacklog()
    {
        bool full = _sender.IsOverLimit;
        if (full || !_receiver.HasMessage)
        {
            PollEvents wanted = full ? PollEvents.Out : PollEvents.Out | PollEvents.In;
            if (Poll.Wait(_socket.Descriptor, wanted, full ? _options.PeerTimeout : Timeout.InfiniteTimeSpan) == PollEvents.None)
            {
                End(SessionEndKind.ClientNotReading, NotReading($"{MessageSender.BacklogLimit >> 20} MiB of replies wait"));
                return false;
            }
        }

        _sender.Gate.Enter();
        Errno errno = _sender.Flush();
        _sender.Gate.Exit();
        if (errno != Errno.None)
        {
            EndUnsent(errno);
            return false;
        }

        return !_sender.IsOverLimit;
    }

    private void StopNotReading()
    {
        _notReading = true;
        _socket.Shutdown();
    }

    private string NotReading(string what) => $"{what} and the client has read nothing for {_options.PeerTimeout.TotalSeconds} s";

    private void Dispatch(Span<byte> message)
    {
        VfioUserHeader header = Unsafe.ReadUnaligned<VfioUserHeader>(ref MemoryMarshal.GetReference(message));
        Span<byte> body = message[VfioUserHeader.Length..];
        VfioUserMessageFlags type = header.Flags & VfioUserMessageFlags.TypeMask;
        if (type == VfioUserMessageFlags.Command && _negotiated)
        {
            // The hot ones first, past every check that they do not need. Descriptors that came with them are closed unseen.
            if (header.Command == VfioUserCommand.RegionRead)
            {
                RegionRead(header, body);
                return;
            }

            if (header.Command == VfioUserCommand.RegionWrite)
            {
                RegionWrite(header, body);
                return;
            }

            if (header.Command == VfioUserCommand.RegionWriteMulti)
            {
                RegionWriteMulti(header, body);
                return;
            }
        }

        if (type == VfioUserMessageFlags.Reply)
        {
            TakeReply(header, body);
        }
        else if (type != VfioUserMessageFlags.Command)
        {
            ReplyError(header, Errno.EINVAL);
        }
        else if (!_negotiated)
        {
            Negotiate(header, body);
        }
        else
        {
            Answer(header, body);
        }
    }

    private void Answer(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        Errno errno;
        int length = 0;
        _givenCount = 0;
        try
        {
            errno = _receiver.DescriptorCount > VfioUserLimits.MaximumDescriptors
                ? Errno.EINVAL
                : Handle(header, body, out length);
        }
        catch (Exception refused)
        {
            errno = TellRefusal(header.Command, refused);
        }

        if (errno != Errno.None)
        {
            ReplyError(header, errno);
        }
        else
        {
            Reply(header, length);
        }
    }

    private Errno Handle(in VfioUserHeader header, ReadOnlySpan<byte> body, out int length)
    {
        length = 0;
        switch (header.Command)
        {
            case VfioUserCommand.DmaMap:
                return DmaMap(body);
            case VfioUserCommand.DmaUnmap:
                return DmaUnmap(body, out length);
            case VfioUserCommand.DeviceGetInfo:
                return DeviceGetInfo(body, out length);
            case VfioUserCommand.DeviceGetRegionInfo:
                return DeviceGetRegionInfo(body, out length);
            case VfioUserCommand.DeviceGetRegionIoFds:
                return DeviceGetRegionIoFds(body, out length);
            case VfioUserCommand.DeviceGetIrqInfo:
                return DeviceGetIrqInfo(body, out length);
            case VfioUserCommand.DeviceSetIrqs:
                return DeviceSetIrqs(body);
            case VfioUserCommand.DeviceReset:
                _file!.Reset();
                return Errno.None;
            case VfioUserCommand.DeviceFeature:
                return DeviceFeature(body, out length);
            case VfioUserCommand.MigDataRead:
                return MigrationDataRead(body, out length);
            case VfioUserCommand.MigDataWrite:
                return MigrationDataWrite(body);
            case VfioUserCommand.GetPrecopyInfo:
                return GetPrecopyInfo(body, out length);
            default:
                return Errno.EINVAL;
        }
    }

    private void TellStrayReply(VfioUserHeader header)
    {
        if (!_toldStrayReply)
        {
            _toldStrayReply = true;
            Log($"a reply that nothing waits for (id {header.Id}, command {(ushort)header.Command}) was dropped; further ones are dropped silently");
        }
    }

    private Span<byte> Payload(int length) => new(_reply + VfioUserHeader.Length, length);

    private void Reply(in VfioUserHeader request, int payload)
    {
        SettleTwin();
        if ((request.Flags & VfioUserMessageFlags.NoReply) == 0)
        {
            _sender.Gate.Enter();
            SendReply(request, payload, VfioUserMessageFlags.Reply, Errno.None);
            _sender.Gate.Exit();
        }

        _givenCount = 0;
    }

    private void ReplyError(in VfioUserHeader request, Errno errno)
    {
        _givenCount = 0;
        if ((request.Flags & VfioUserMessageFlags.NoReply) == 0)
        {
            _sender.Gate.Enter();
            SendReply(request, 0, VfioUserMessageFlags.Reply | VfioUserMessageFlags.Error, errno);
            _sender.Gate.Exit();
        }
    }

    /// <summary>Sends what was built behind the header in the reply buffer. The gate is held.</summary>
    private void SendReply(in VfioUserHeader request, int payload, VfioUserMessageFlags flags, Errno errno)
    {
        int length = VfioUserHeader.Length + payload;

        // SAFETY: the buffer holds the longest message; payloads are bounded by whoever builds them.
        Unsafe.WriteUnaligned(_reply, new VfioUserHeader
        {
            Id = request.Id,
            Command = request.Command,
            Size = (uint)length,
            Flags = flags,
            Error = (uint)errno,
        });
        var message = new ReadOnlySpan<byte>(_reply, length);
        _observer?.OnMessage(false, message, _givenCount);
        Errno sending = _givenCount == 0 ? _sender.Send(message) : _sender.Send(message, _given.AsSpan(0, _givenCount));
        if (sending != Errno.None)
        {
            EndUnsent(sending);
        }
    }
}
