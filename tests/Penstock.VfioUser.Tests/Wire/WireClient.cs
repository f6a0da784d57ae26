using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

/// <summary>
/// A client of nothing but bytes: what is sent is what the test built, what comes is handed over as it is. It shares no protocol code with the
/// server.
/// </summary>
internal sealed class WireClient : IDisposable
{
    public const string QemuJson =
        """{"capabilities":{"pgsizes":4096,"max_msg_fds":16,"max_dma_maps":65535,"max_data_xfer_size":1048576,"migration":{"max_bitmap_size":268435456,"pgsize":4096},"write_multiple":true}}""";

    private const int Patience = 60_000;

    private readonly UnixSocket _socket;
    private readonly Socket _reader;
    private ushort _nextId;

    private WireClient(string path)
        : this(UnixSocket.Connect(path))
    {
    }

    private WireClient(UnixSocket socket)
    {
        _socket = socket;
        _reader = new Socket(new SafeSocketHandle(_socket.Descriptor, ownsHandle: false)) { ReceiveTimeout = Patience };
    }

    public int Descriptor => _socket.Descriptor;

    /// <summary>Connects and says nothing.</summary>
    public static WireClient Raw(string path) => new(path);

    /// <summary>Speaks on a socket that came as a descriptor.</summary>
    public static WireClient Over(SafeFileHandle socket)
    {
        var client = new WireClient(UnixSocket.Adopt(new OwnedDescriptor(socket.Number())));
        socket.SetHandleAsInvalid();
        return client;
    }

    /// <summary>Connects and negotiates with these words.</summary>
    public static WireClient Connect(string path, string json = QemuJson)
    {
        var client = new WireClient(path);
        WireMessage reply = client.Call(Cmd.Version, Version(0, json));
        Assert.Equal(Cmd.TypeReply, reply.Flags);
        return client;
    }

    public static byte[] Version(ushort minor, string json) => new Payload().U16(0, minor).Text(json).Bytes([0]);

    public static byte[] Header(ushort id, ushort command, uint size, uint flags = 0, uint error = 0) =>
        new Payload().U16(id, command).U32(size, flags, error);

    public static byte[] Message(ushort id, ushort command, byte[] body, uint flags = 0, uint error = 0) =>
        [.. Header(id, command, (uint)(WireMessage.HeaderLength + body.Length), flags, error), .. body];

    /// <summary>Sends bytes as they are, with descriptors on the first of them.</summary>
    public void SendBytes(ReadOnlySpan<byte> bytes, params ReadOnlySpan<int> descriptors) => _socket.Send(bytes, descriptors);

    public int TrySendBytes(ReadOnlySpan<byte> bytes, out Errno errno)
    {
        errno = _socket.TrySend(bytes, out int sent);
        return sent;
    }

    public ushort Send(ushort command, byte[] body, uint flags = 0, params ReadOnlySpan<int> descriptors)
    {
        ushort id = _nextId++;
        SendBytes(Message(id, command, body, flags), descriptors);
        return id;
    }

    public WireMessage Receive()
    {
        byte[] header = new byte[WireMessage.HeaderLength];
        ReceiveExactly(header);
        var head = new WireMessage(header);
        Assert.InRange(head.Size, (uint)WireMessage.HeaderLength, 2u * Cmd.Megabyte);
        byte[] whole = new byte[head.Size];
        header.CopyTo(whole, 0);
        ReceiveExactly(whole.AsSpan(WireMessage.HeaderLength));
        return new WireMessage(whole);
    }

    /// <summary>The next message with its descriptors, read as QEMU does: the header with room for them, then the body.</summary>
    public WireMessage Receive(out SafeFileHandle[] descriptors)
    {
        byte[] header = new byte[WireMessage.HeaderLength];
        Assert.Equal(header.Length, DescriptorReceiver.Receive(Descriptor, header, out descriptors));
        byte[] whole = new byte[new WireMessage(header).Size];
        header.CopyTo(whole, 0);
        ReceiveExactly(whole.AsSpan(WireMessage.HeaderLength));
        return new WireMessage(whole);
    }

    /// <summary>A command whose successful reply may bring descriptors.</summary>
    public WireMessage Call(ushort command, byte[] body, out SafeFileHandle[] descriptors)
    {
        ushort id = Send(command, body);
        WireMessage reply = Receive(out descriptors);
        Assert.Equal((id, command, Cmd.TypeReply, 0u), (reply.Id, reply.Command, reply.Flags, reply.Error));
        return reply;
    }

    /// <summary>The reply to a command: the next message, of type reply, with the command's id and number.</summary>
    public WireMessage ReceiveReply(ushort id, ushort command)
    {
        WireMessage reply = Receive();
        Assert.Equal(Cmd.TypeReply, reply.Flags & 0xf);
        Assert.Equal((id, command), (reply.Id, reply.Command));
        if ((reply.Flags & Cmd.ErrorFlag) != 0)
        {
            Assert.Equal((uint)WireMessage.HeaderLength, reply.Size);
            Assert.NotEqual(0u, reply.Error);
        }
        else
        {
            Assert.Equal(0u, reply.Error);
        }

        return reply;
    }

    public WireMessage Call(ushort command, byte[] body, params ReadOnlySpan<int> descriptors) =>
        ReceiveReply(Send(command, body, 0, descriptors), command);

    /// <summary>Sends a command and gives the error of its reply; 0 for success.</summary>
    public Errno Try(ushort command, byte[] body, params ReadOnlySpan<int> descriptors) => (Errno)Call(command, body, descriptors).Error;

    public void Succeed(ushort command, byte[] body, params ReadOnlySpan<int> descriptors) => Assert.Equal(Errno.None, Try(command, body, descriptors));

    /// <summary>A command whose reply proves that everything before it was handled and that the session lives.</summary>
    public void AssertAlive() => Assert.Equal(16u, Call(Cmd.GetInfo, new Payload().U32(16, 0, 0, 0)).U32(0));

    /// <summary>The server has ended the connection, and nothing came before.</summary>
    public void AssertClosed()
    {
        byte[] one = new byte[1];
        int n;
        try
        {
            n = _reader.Receive(one);
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
            n = 0;
        }

        Assert.Equal(0, n);
    }

    /// <summary>Whether a byte waits now.</summary>
    public bool HasInput => _reader.Poll(0, SelectMode.SelectRead);

    /// <summary>Ends both directions, which wakes a thread that receives.</summary>
    public void Shutdown() => _socket.Shutdown();

    public void Dispose()
    {
        _reader.Dispose();
        _socket.Dispose();
    }

    public static byte[] Access(ulong offset, uint region, uint count) => new Payload().U64(offset).U32(region, count);

    public byte[] Read(uint region, ulong offset, uint count)
    {
        WireMessage reply = Call(Cmd.RegionRead, Access(offset, region, count));
        Assert.Equal(0u, reply.Error);
        Assert.Equal(Access(offset, region, count), reply.Body[..16]);
        Assert.Equal((int)count, reply.Body.Length - 16);
        return reply.Body[16..];
    }

    public Errno TryRead(uint region, ulong offset, uint count) => Try(Cmd.RegionRead, Access(offset, region, count));

    public Errno TryWrite(uint region, ulong offset, params byte[] data) =>
        Try(Cmd.RegionWrite, [.. Access(offset, region, (uint)data.Length), .. data]);

    public void Write(uint region, ulong offset, params byte[] data)
    {
        WireMessage reply = Call(Cmd.RegionWrite, [.. Access(offset, region, (uint)data.Length), .. data]);
        Assert.Equal(0u, reply.Error);
        Assert.Equal(Access(offset, region, (uint)data.Length), reply.Body);
    }

    public void Post(uint region, ulong offset, params byte[] data) =>
        Send(Cmd.RegionWrite, [.. Access(offset, region, (uint)data.Length), .. data], Cmd.NoReply);

    /// <summary>Memory, I/O and bus mastering on, as a guest's driver does it.</summary>
    public void EnableDevice() => Write(Cmd.ConfigRegion, 4, 7, 0);

    public static byte[] Map(ulong iova, ulong size, uint flags = 3, ulong offset = 0, uint argsz = 32) =>
        new Payload().U32(argsz, flags).U64(offset, iova, size);

    public static byte[] Unmap(ulong iova, ulong size, uint flags = 0, uint argsz = 24) =>
        new Payload().U32(argsz, flags).U64(iova, size);

    public static byte[] Irqs(uint flags, uint index, uint start, uint count, uint argsz = 20) =>
        new Payload().U32(argsz, flags, index, start, count);

    /// <summary>Answers a DMA command of the server.</summary>
    public void Answer(WireMessage command, byte[] body, uint flags = Cmd.TypeReply, uint error = 0) =>
        SendBytes(Message(command.Id, command.Command, body, flags, error));

    private void ReceiveExactly(Span<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            int n = _reader.Receive(buffer);
            Assert.True(n > 0, "the server closed the connection");
            buffer = buffer[n..];
        }
    }
}
