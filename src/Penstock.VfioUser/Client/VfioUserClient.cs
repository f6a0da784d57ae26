using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// The other end of the wire: a user that drives a served device by messages. Each member is one command, or as many as the server's limits make of
/// it. All members may be called from several threads at once; a server that is dead, slow or lying costs an error, never more than the reply time.
/// </summary>
public sealed partial class VfioUserClient : IDisposable
{
    private readonly ClientConnection _connection;
    private readonly VfioUserClientOptions _options;

    private VfioUserClient(UnixSocket socket, VfioUserClientOptions options, Func<SoftwareDomain?>? memory, OpenDeadline? deadline)
    {
        _options = options;
        _connection = ClientConnection.Over(socket, options, memory ?? (() => _ownMemory), deadline);
    }

    /// <summary>The version that both sides speak, as <c>major.minor</c>.</summary>
    public Version Version => _connection.Version;

    /// <summary>What the server said that it accepts.</summary>
    public PeerLimits ServerLimits => _connection.Limits;

    /// <summary>Why the connection is of no more use; null while it works.</summary>
    public string? Failure => _connection.Failure;

    /// <summary>Whether the server's commands come on a socket of their own.</summary>
    public bool HasTwinSocket => _connection.HasTwin;

    internal ClientConnection Connection => _connection;

    internal VfioUserClientOptions Options => _options;

    /// <summary>Data bytes of one message.</summary>
    private int MostData => _connection.Limits.MaximumTransfer;

    /// <summary>Connects and negotiates.</summary>
    /// <param name="path">Path of the server's socket.</param>
    /// <param name="replyTime">How long to wait for a reply; the default of the options when not given.</param>
    /// <returns>The client.</returns>
    /// <exception cref="SystemCallException">Nobody listens there; EAGAIN: too many others wait.</exception>
    /// <exception cref="VfioException">The server refused, or does not speak the protocol (EPROTO).</exception>
    public static VfioUserClient Connect(string path, TimeSpan? replyTime = null)
    {
        var options = new VfioUserClientOptions();
        return Connect(path, replyTime is { } time ? new VfioUserClientOptions { ReplyTime = time } : options);
    }

    /// <summary>Connects and negotiates.</summary>
    /// <param name="path">Path of the server's socket.</param>
    /// <param name="options">How the server is treated.</param>
    /// <returns>The client.</returns>
    /// <exception cref="SystemCallException">Nobody listens there; EAGAIN: too many others wait.</exception>
    /// <exception cref="VfioException">The server refused, or does not speak the protocol (EPROTO).</exception>
    public static VfioUserClient Connect(string path, VfioUserClientOptions options)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(options);
        return Over(UnixSocket.Connect(path, options.ConnectTime, options.Ledger), options);
    }

    /// <summary>DEVICE_GET_INFO.</summary>
    /// <returns>Kind and counts.</returns>
    /// <exception cref="VfioException">
    /// The server's error; ETIMEDOUT: no reply in time; EPROTO: a reply that cannot be; ENOTCONN: the connection has ended. So for every command here.
    /// </exception>
    public VfioDeviceInfo GetInfo()
    {
        VfioUserDeviceInfo info = Exchange(VfioUserCommand.DeviceGetInfo, new VfioUserDeviceInfo { ArgumentSize = VfioUserDeviceInfo.Length });
        Require(
            info.RegionCount <= MostIndices && info.IrqCount <= MostIndices,
            VfioUserCommand.DeviceGetInfo,
            $"{info.RegionCount} regions and {info.IrqCount} interrupt indices; at most {MostIndices} are taken");
        return new VfioDeviceInfo((VfioDeviceFlags)info.Flags & ~VfioDeviceFlags.Caps, (int)info.RegionCount, (int)info.IrqCount);
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
        Require(info.Index == index, VfioUserCommand.DeviceGetIrqInfo, $"the reply is about index {info.Index}, {index} was asked for");
        Require(info.Count <= MostVectors, VfioUserCommand.DeviceGetIrqInfo, $"{info.Count} vectors; at most {MostVectors} are taken");
        return new VfioIrqInfo((int)info.Index, (VfioIrqFlags)info.Flags, info.Count);
    }

    /// <summary>DEVICE_RESET.</summary>
    /// <exception cref="VfioException">The server's error.</exception>
    public void Reset()
    {
        Run(new ClientCall { Command = VfioUserCommand.DeviceReset });
        lock (_enabled)
        {
            _enabled.Clear();
        }
    }

    /// <summary>REGION_READ.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="destination">Receives the bytes.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void Read(uint region, ulong offset, Span<byte> destination)
    {
        Errno errno = TryRead(region, offset, destination, out _, out ClientReply reply, default);
        if (errno != Errno.None)
        {
            throw ClientConnection.Refused(errno, VfioUserCommand.RegionRead, reply);
        }
    }

    /// <summary>REGION_READ, as a hot call: throws nothing and, unless something is wrong, allocates nothing.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="destination">Receives the bytes.</param>
    /// <param name="transferred">How many were read, also when an error ends the access half way.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>None; the server's error; ETIMEDOUT, ECANCELED, EPROTO, ENOTCONN.</returns>
    public Errno TryRead(uint region, ulong offset, Span<byte> destination, out int transferred, CancellationToken cancellation = default) =>
        TryRead(region, offset, destination, out transferred, out _, cancellation);

    /// <summary>REGION_WRITE.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="source">The bytes.</param>
    /// <param name="posted">Do not wait for the server; its errors stay unseen, as on a real bus.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void Write(uint region, ulong offset, ReadOnlySpan<byte> source, bool posted = false)
    {
        Errno errno = TryWrite(region, offset, source, posted, out _, out ClientReply reply, default);
        if (errno != Errno.None)
        {
            throw ClientConnection.Refused(errno, VfioUserCommand.RegionWrite, reply);
        }
    }

    /// <summary>REGION_WRITE, as a hot call; as <see cref="TryRead(uint, ulong, Span{byte}, out int, CancellationToken)"/>.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="source">The bytes.</param>
    /// <param name="transferred">How many were written, also when an error ends the access half way.</param>
    /// <param name="posted">Do not wait for the server; its errors stay unseen, as on a real bus.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>None; the server's error; ETIMEDOUT, ECANCELED, EPROTO, ENOTCONN.</returns>
    public Errno TryWrite(uint region, ulong offset, ReadOnlySpan<byte> source, out int transferred, bool posted = false, CancellationToken cancellation = default) =>
        TryWrite(region, offset, source, posted, out transferred, out _, cancellation);

    /// <summary>Closes the connection; the server gives everything back. Calls in progress fail, and are waited for.</summary>
    public void Dispose()
    {
        _connection.Dispose();
        _ownMemory?.Dispose();
    }

    /// <summary>Negotiates on a socket that is connected already.</summary>
    /// <param name="socket">The socket; from now on the client's.</param>
    /// <param name="options">How the server is treated.</param>
    /// <param name="memory">What the server's messages reach; null for what is mapped through the client itself.</param>
    /// <param name="deadline">When this and what follows must be over; null for no such time.</param>
    internal static VfioUserClient Over(
        UnixSocket socket, VfioUserClientOptions options, Func<SoftwareDomain?>? memory = null, OpenDeadline? deadline = null) => new(socket, options, memory, deadline);

    private Errno TryRead(uint region, ulong offset, Span<byte> destination, out int transferred, out ClientReply reply, CancellationToken cancellation)
    {
        transferred = 0;
        reply = default;
        VfioUserRegionAccess echo = default;
        while (transferred < destination.Length)
        {
            Span<byte> part = destination[transferred..Math.Min(destination.Length, transferred + MostData)];
            var access = new VfioUserRegionAccess { Offset = offset + (ulong)transferred, Region = region, Count = (uint)part.Length };
            Errno errno = _connection.Run(
                new ClientCall
                {
                    Command = VfioUserCommand.RegionRead,
                    Head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserRegionAccess>(ref access)),
                    ReplyHead = MemoryMarshal.AsBytes(new Span<VfioUserRegionAccess>(ref echo)),
                    ReplyData = part,
                    LeastReply = VfioUserRegionAccess.Length + part.Length,
                    Cancellation = cancellation,
                },
                out reply);
            if (errno != Errno.None || !IsEcho(access, echo, ref reply, ref errno))
            {
                return errno;
            }

            transferred += part.Length;
        }

        return Errno.None;
    }

    private Errno TryWrite(
        uint region, ulong offset, ReadOnlySpan<byte> source, bool posted, out int transferred, out ClientReply reply, CancellationToken cancellation)
    {
        transferred = 0;
        reply = default;
        VfioUserRegionAccess echo = default;
        while (transferred < source.Length)
        {
            ReadOnlySpan<byte> part = source[transferred..Math.Min(source.Length, transferred + MostData)];
            var access = new VfioUserRegionAccess { Offset = offset + (ulong)transferred, Region = region, Count = (uint)part.Length };
            ReadOnlySpan<byte> head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserRegionAccess>(ref access));
            Errno errno = posted
                ? _connection.Post(VfioUserCommand.RegionWrite, head, part)
                : _connection.Run(
                    new ClientCall
                    {
                        Command = VfioUserCommand.RegionWrite,
                        Head = head,
                        Data = part,
                        ReplyHead = MemoryMarshal.AsBytes(new Span<VfioUserRegionAccess>(ref echo)),
                        LeastReply = VfioUserRegionAccess.Length,
                        Cancellation = cancellation,
                    },
                    out reply);
            if (errno != Errno.None || (!posted && !IsEcho(access, echo, ref reply, ref errno)))
            {
                return errno;
            }

            transferred += part.Length;
        }

        return Errno.None;
    }

    private static bool IsEcho(in VfioUserRegionAccess access, in VfioUserRegionAccess echo, ref ClientReply reply, ref Errno errno)
    {
        if (echo.Count == access.Count && echo.Region == access.Region && echo.Offset == access.Offset)
        {
            return true;
        }

        reply.Problem = $"the reply is about {echo.Count} bytes at 0x{echo.Offset:x} of region {echo.Region}, not {access.Count} at 0x{access.Offset:x} of region {access.Region}";
        errno = Errno.EPROTO;
        return false;
    }

    private ClientReply Run(in ClientCall call)
    {
        Errno errno = _connection.Run(call, out ClientReply reply);
        return errno == Errno.None ? reply : throw ClientConnection.Refused(errno, call.Command, reply);
    }

    private T Exchange<T>(VfioUserCommand command, T request)
        where T : unmanaged
    {
        T answer = default;
        Run(new ClientCall
        {
            Command = command,
            Head = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(ref request)),
            ReplyHead = MemoryMarshal.AsBytes(new Span<T>(ref answer)),
            LeastReply = Unsafe.SizeOf<T>(),
        });
        return answer;
    }

    private static void Require(bool condition, VfioUserCommand command, string problem)
    {
        if (!condition)
        {
            throw new VfioException(Errno.EPROTO, command.ToString(), problem);
        }
    }
}
