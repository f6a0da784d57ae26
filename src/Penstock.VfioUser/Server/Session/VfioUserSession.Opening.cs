using System.Diagnostics;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>How a session begins: group, container and device file as any user of VFIO opens them, then the negotiation.</content>
internal sealed unsafe partial class VfioUserSession
{
    private bool TryOpenDevice()
    {
        try
        {
            OpenDevice();
            return true;
        }
        catch (VfioException refused)
        {
            AnswerRefusal(refused.Errno);
            End(SessionEndKind.Refused, refused.Message);
            return false;
        }
    }

    /// <summary>Whoever is refused learns why from the reply to his first command.</summary>
    private void AnswerRefusal(Errno errno)
    {
        if (Poll.Wait(_socket.Descriptor, PollEvents.In, _options.PeerTimeout) != PollEvents.None
            && _receiver.Receive(wait: false, out Span<byte> message) == ReceiveStatus.Message)
        {
            ReplyError(MemoryMarshal.Read<VfioUserHeader>(message), errno);
        }
    }

    private void OpenDevice()
    {
        Caller caller = Caller.ForPeer(_peer.UserId, _peer.ProcessId);
        _group = _endpoint.Host.OpenGroup(_endpoint.GroupNumber, caller);
        _container = _endpoint.Host.OpenContainer(caller);
        _group.SetContainer(_container);
        _container.SetIommu(_options.IommuType);
        _file = _group.OpenDevice(_endpoint.DeviceName);
        if (_options.Processor is int processor)
        {
            _file.PlacePostedWork(processor);
        }

        OpenMigration();
        _regionSizes = new ulong[_file.GetInfo().RegionCount];
        for (int i = 0; i < _regionSizes.Length; i++)
        {
            _regionSizes[i] = GetRegion((uint)i).Size;
        }
    }

    /// <summary>One device, one client: whoever says nothing must not keep the others out.</summary>
    private bool WaitForVersion()
    {
        if (_receiver.HasMessage)
        {
            return true;
        }

        TimeSpan left = _options.PeerTimeout - Stopwatch.GetElapsedTime(_begun);

        // When the server itself was late, what the client has said meanwhile counts all the same.
        if (Poll.Wait(_socket.Descriptor, PollEvents.In, left > TimeSpan.Zero ? left : TimeSpan.Zero) != PollEvents.None)
        {
            return true;
        }

        End(SessionEndKind.ProtocolViolation, $"the client has not said which version it speaks within {_options.PeerTimeout.TotalSeconds} s");
        return false;
    }

    private void Negotiate(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        if (header.Command != VfioUserCommand.Version)
        {
            ReplyError(header, Errno.EINVAL);
            End(SessionEndKind.ProtocolViolation, $"the first command was {(ushort)header.Command}, not VERSION");
            return;
        }

        if (!VersionMessage.TryRead(body, out VfioUserVersion version, out _limits, out string why))
        {
            ReplyError(header, Errno.EINVAL);
            End(SessionEndKind.ProtocolViolation, why);
            return;
        }

        ushort minor = Math.Min(version.Minor, VfioUserLimits.Minor);
        _givenCount = 0;
        int? twin = OfferTwin();
        bool tellsMigration = _migrates && _limits.MigrationPageSize != 0;
        var own = new PeerLimits
        {
            MaximumDescriptors = VfioUserLimits.MaximumDescriptors,
            PageSizes = 1ul << System.Numerics.BitOperations.TrailingZeroCount(_container!.PageSizes),
            MaximumDmaMaps = Math.Min(_endpoint.Host.Options.MappingLimit, VfioUserLimits.DefaultMaximumDmaMaps),
            MigrationPageSize = tellsMigration ? VfioUserLimits.DefaultPageSizes : 0,
            WriteMultiple = _limits.WriteMultiple,
            SparseMmapDescriptors = _limits.SparseMmapDescriptors,
            TwinSocket = twin is not null,
            TwinSocketIndex = twin,
        };
        int length = VersionMessage.Write(Payload(256), minor, own);
        _dmaChannel.PeerLimit = _limits.MaximumTransfer;
        _negotiated = true;
        Reply(header, length);
        if (_twin is not null && _sender.HasBacklog)
        {
            // The client's end must be open until it has been sent, and closed here as soon as it has.
            End(SessionEndKind.ClientNotReading, "the client asked for a twin socket and has not read what came before");
            return;
        }

        _twin?.Start(_dmaChannel, _socket.Shutdown);
        _options.ConnectionMade?.Invoke(_socket);
        _options.ClientConnected?.Invoke();
    }

    /// <summary>A client whose own fault ends the session still gets the replies to what came before it, and the reason.</summary>
    private void SendRest()
    {
        long start = Stopwatch.GetTimestamp();
        while (_end is { Kind: SessionEndKind.ProtocolViolation } && _sender.HasBacklog)
        {
            TimeSpan left = _options.PeerTimeout - Stopwatch.GetElapsedTime(start);
            if (left <= TimeSpan.Zero || Poll.Wait(_socket.Descriptor, PollEvents.Out, left) == PollEvents.None)
            {
                return;
            }

            _sender.Gate.Enter();
            Errno errno = _sender.Flush();
            _sender.Gate.Exit();
            if (errno != Errno.None)
            {
                return;
            }
        }
    }
}
