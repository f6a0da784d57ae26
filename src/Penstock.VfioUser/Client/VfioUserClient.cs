using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// The other end of the wire: a user that drives a served device by messages, one command at a time. It offers no memory of its own by
/// message. For one thread.
/// </summary>
public sealed partial class VfioUserClient : IDisposable
{
    private static readonly FrameFormat Format = new(VfioUserHeader.Length, VfioUserHeader.SizeOffset, VfioUserLimits.MaximumMessage);

    private readonly UnixSocket _socket;
    private readonly FramedReceiver _receiver;
    private readonly TimeSpan _replyTime;
    private readonly byte[] _message = new byte[VfioUserLimits.MaximumMessage];
    private ushort _nextId;

    private VfioUserClient(UnixSocket socket, TimeSpan replyTime)
    {
        _socket = socket;
        _replyTime = replyTime;
        _receiver = new FramedReceiver(socket, Format);
    }

    /// <summary>The version that both sides speak, as <c>major.minor</c>.</summary>
    public Version Version { get; private set; } = new(0, 0);

    /// <summary>What the server said that it accepts.</summary>
    public PeerLimits ServerLimits { get; private set; } = new();

    /// <summary>Connects and negotiates.</summary>
    /// <param name="path">Path of the server's socket.</param>
    /// <param name="replyTime">How long to wait for a reply; 5 s when not given.</param>
    /// <returns>The client.</returns>
    /// <exception cref="SystemCallException">Nobody listens there.</exception>
    /// <exception cref="VfioException">The server refused, or does not speak the protocol (EPROTO).</exception>
    public static VfioUserClient Connect(string path, TimeSpan? replyTime = null)
    {
        var client = new VfioUserClient(UnixSocket.Connect(path), replyTime ?? TimeSpan.FromSeconds(5));
        try
        {
            client.Negotiate();
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <summary>DEVICE_GET_INFO.</summary>
    /// <returns>Kind and counts.</returns>
    /// <exception cref="VfioException">The server's error, ETIMEDOUT, or ENOTCONN; as for every command here.</exception>
    public VfioDeviceInfo GetInfo()
    {
        VfioUserDeviceInfo info = Exchange(VfioUserCommand.DeviceGetInfo, new VfioUserDeviceInfo { ArgumentSize = VfioUserDeviceInfo.Length });
        return new VfioDeviceInfo((VfioDeviceFlags)info.Flags, (int)info.RegionCount, (int)info.IrqCount);
    }

    /// <summary>DEVICE_GET_REGION_INFO.</summary>
    /// <param name="index">Region index.</param>
    /// <returns>The region.</returns>
    /// <exception cref="VfioException">EINVAL: no such region.</exception>
    public VfioRegionInfo GetRegionInfo(uint index)
    {
        VfioUserRegionInfo info = Exchange(
            VfioUserCommand.DeviceGetRegionInfo,
            new VfioUserRegionInfo { ArgumentSize = VfioUserRegionInfo.Length, Index = index });
        return new VfioRegionInfo((int)info.Index, (VfioRegionFlags)info.Flags, info.Size);
    }

    /// <summary>DEVICE_GET_IRQ_INFO.</summary>
    /// <param name="index">Interrupt index.</param>
    /// <returns>Its behaviour and vector count.</returns>
    /// <exception cref="VfioException">EINVAL: no such index.</exception>
    public VfioIrqInfo GetIrqInfo(uint index)
    {
        VfioUserIrqInfo info = Exchange(
            VfioUserCommand.DeviceGetIrqInfo,
            new VfioUserIrqInfo { ArgumentSize = VfioUserIrqInfo.Length, Index = index });
        return new VfioIrqInfo((int)info.Index, (VfioIrqFlags)info.Flags, info.Count);
    }

    /// <summary>DEVICE_SET_IRQS without data, or with eventfds.</summary>
    /// <param name="index">Interrupt index.</param>
    /// <param name="flags">One data kind and one action.</param>
    /// <param name="start">First vector.</param>
    /// <param name="count">Number of vectors.</param>
    /// <param name="events">None, or one for each vector; they stay the caller's.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void SetIrqs(uint index, VfioIrqSetFlags flags, uint start, uint count, params ReadOnlySpan<EventDescriptor> events)
    {
        Span<int> descriptors = stackalloc int[Math.Min(events.Length, UnixSocket.MaximumDescriptors)];
        for (int i = 0; i < descriptors.Length; i++)
        {
            descriptors[i] = events[i].Descriptor.Value;
        }

        var set = new VfioUserIrqSet
        {
            ArgumentSize = VfioUserIrqSet.Length,
            Flags = (uint)flags,
            Index = index,
            Start = start,
            Count = count,
        };
        MemoryMarshal.Write(Payload, set);
        Run(VfioUserCommand.DeviceSetIrqs, VfioUserIrqSet.Length, descriptors);
    }

    /// <summary>REGION_READ.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="destination">Receives the bytes.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void Read(uint region, ulong offset, Span<byte> destination)
    {
        MemoryMarshal.Write(Payload, new VfioUserRegionAccess { Offset = offset, Region = region, Count = (uint)destination.Length });
        ReadOnlySpan<byte> reply = Run(VfioUserCommand.RegionRead, VfioUserRegionAccess.Length);
        Require(reply.Length == VfioUserRegionAccess.Length + destination.Length, VfioUserCommand.RegionRead, "the reply has another length than was asked for");
        reply[VfioUserRegionAccess.Length..].CopyTo(destination);
    }

    /// <summary>REGION_WRITE.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="source">The bytes.</param>
    /// <param name="posted">Do not wait for the server; its errors stay unseen, as on a real bus.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void Write(uint region, ulong offset, ReadOnlySpan<byte> source, bool posted = false)
    {
        MemoryMarshal.Write(Payload, new VfioUserRegionAccess { Offset = offset, Region = region, Count = (uint)source.Length });
        source.CopyTo(Payload[VfioUserRegionAccess.Length..]);
        int length = VfioUserRegionAccess.Length + source.Length;
        if (posted)
        {
            Send(VfioUserCommand.RegionWrite, length, VfioUserMessageFlags.NoReply, []);
        }
        else
        {
            Run(VfioUserCommand.RegionWrite, length);
        }
    }

    /// <summary>DMA_MAP of memory with a descriptor.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <param name="access">What the device may do.</param>
    /// <param name="memory">The memory; stays the caller's.</param>
    /// <param name="offset">Where in the memory.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void MapDma(ulong iova, ulong size, DmaAccess access, MemoryFile memory, ulong offset = 0)
    {
        ArgumentNullException.ThrowIfNull(memory);
        MemoryMarshal.Write(Payload, new VfioUserDmaMap
        {
            ArgumentSize = VfioUserDmaMap.Length,
            Flags = (VfioUserDmaMapFlags)access,
            FileOffset = offset,
            Iova = iova,
            Size = size,
        });
        Run(VfioUserCommand.DmaMap, VfioUserDmaMap.Length, [memory.Descriptor.Value]);
    }

    /// <summary>DMA_UNMAP.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void UnmapDma(ulong iova, ulong size)
    {
        MemoryMarshal.Write(Payload, new VfioUserDmaUnmap { ArgumentSize = VfioUserDmaUnmap.Length, Iova = iova, Size = size });
        Run(VfioUserCommand.DmaUnmap, VfioUserDmaUnmap.Length);
    }

    /// <summary>DEVICE_RESET.</summary>
    /// <exception cref="VfioException">The server's error.</exception>
    public void Reset() => Run(VfioUserCommand.DeviceReset, 0);

    /// <summary>Closes the connection; the server gives everything back.</summary>
    public void Dispose()
    {
        _socket.Shutdown();
        _receiver.Dispose();
        _socket.Dispose();
    }

    private Span<byte> Payload => _message.AsSpan(VfioUserHeader.Length);

    private void Negotiate()
    {
        var own = new PeerLimits { MaximumDescriptors = VfioUserLimits.MaximumDescriptors };
        int length = VersionMessage.Write(Payload, VfioUserLimits.Minor, own);
        ReadOnlySpan<byte> reply = Run(VfioUserCommand.Version, length);
        if (!VersionMessage.TryRead(reply, out VfioUserVersion version, out PeerLimits limits, out string why))
        {
            throw new VfioException(Errno.EPROTO, "VERSION", why);
        }

        Version = new Version(version.Major, version.Minor);
        ServerLimits = limits;
    }

    private T Exchange<T>(VfioUserCommand command, T request)
        where T : unmanaged
    {
        MemoryMarshal.Write(Payload, request);
        ReadOnlySpan<byte> reply = Run(command, Marshal.SizeOf<T>());
        Require(reply.Length >= Marshal.SizeOf<T>(), command, $"the reply has {reply.Length} bytes, {Marshal.SizeOf<T>()} are needed");
        return MemoryMarshal.Read<T>(reply);
    }

    private ReadOnlySpan<byte> Run(VfioUserCommand command, int payload, ReadOnlySpan<int> descriptors = default)
    {
        ushort id = Send(command, payload, VfioUserMessageFlags.Command, descriptors);
        while (true)
        {
            ReceiveStatus status = _receiver.Receive(wait: false, out Span<byte> message);
            if (status == ReceiveStatus.WouldBlock)
            {
                if (Poll.Wait(_socket.Descriptor, PollEvents.In, _replyTime) == PollEvents.None)
                {
                    throw new VfioException(Errno.ETIMEDOUT, command.ToString(), $"no reply within {_replyTime.TotalSeconds} s");
                }

                continue;
            }

            if (status != ReceiveStatus.Message)
            {
                throw new VfioException(Errno.ENOTCONN, command.ToString(), $"the server ended the connection ({status})");
            }

            VfioUserHeader header = MemoryMarshal.Read<VfioUserHeader>(message);
            Require((header.Flags & VfioUserMessageFlags.TypeMask) == VfioUserMessageFlags.Reply, command, "the server sent a command, and this client offers no memory by message");
            Require(header.Id == id && header.Command == command, command, $"the reply is for message {header.Id}, command {header.Command}");
            if ((header.Flags & VfioUserMessageFlags.Error) != 0)
            {
                throw new VfioException(header.Error is 0 or > 4095 ? Errno.EINVAL : (Errno)header.Error, command.ToString(), "the server refused");
            }

            return message[VfioUserHeader.Length..];
        }
    }

    private ushort Send(VfioUserCommand command, int payload, VfioUserMessageFlags flags, ReadOnlySpan<int> descriptors)
    {
        ushort id = _nextId++;
        int length = VfioUserHeader.Length + payload;
        MemoryMarshal.Write(_message.AsSpan(), new VfioUserHeader { Id = id, Command = command, Size = (uint)length, Flags = flags });
        try
        {
            _socket.Send(_message.AsSpan(0, length), descriptors);
        }
        catch (SystemCallException gone) when (gone.Errno is Errno.EPIPE or Errno.ECONNRESET)
        {
            throw new VfioException(Errno.ENOTCONN, command.ToString(), "the server ended the connection");
        }

        return id;
    }

    private static void Require(bool condition, VfioUserCommand command, string problem)
    {
        if (!condition)
        {
            throw new VfioException(Errno.EPROTO, command.ToString(), problem);
        }
    }
}
