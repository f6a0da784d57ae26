using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Descriptors on messages: limits, ownership, kinds.</summary>
public sealed class DescriptorTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly WireClient _client;
    private readonly SafeFileHandle _read;
    private readonly SafeFileHandle _write;

    public DescriptorTests()
    {
        _client = _served.ConnectEnabled();
        (_read, _write) = Handles.Pipe();
    }

    public void Dispose()
    {
        _client.Dispose();
        _served.NextEnd();
        _served.AssertBalanced();
        _served.Dispose();
        _read.Dispose();
        _write.Dispose();
    }

    [Theory]
    [InlineData(Cmd.GetInfo)]
    [InlineData(Cmd.GetRegionInfo)]
    [InlineData(Cmd.DmaUnmap)]
    [InlineData(Cmd.RegionRead)]
    [InlineData(Cmd.RegionWrite)]
    [InlineData(Cmd.Reset)]
    [InlineData((ushort)99)]
    public void Descriptors_WithACommandThatTakesNone_AreClosed(ushort command)
    {
        _client.Call(command, new byte[32], _write.Number(), _write.Number());
        AssertPassedOnesClosed();
    }

    [Theory]
    [InlineData(Cmd.GetInfo, 16, Errno.None)]
    [InlineData(Cmd.GetInfo, 17, Errno.EINVAL)]
    [InlineData(Cmd.DmaUnmap, 253, Errno.EINVAL)]
    [InlineData(Cmd.SetIrqs, 17, Errno.EINVAL)]
    public void Descriptors_MoreThanAdvertised_AreEinvalAndClosed(ushort command, int count, Errno expected)
    {
        byte[] body = command == Cmd.GetInfo ? new Payload().U32(16, 0, 0, 0) : WireClient.Irqs(4 | 32, 2, 0, (uint)count);
        Assert.Equal(expected, _client.Try(command, body, [.. Enumerable.Repeat(_write.Number(), count)]));
        AssertPassedOnesClosed();
    }

    [Fact]
    public void Descriptors_OfEachPipelinedMessage_ReachTheirOwn()
    {
        MemoryFile[] files = [.. Enumerable.Range(1, 20).Select(static i => Handles.Memory(0x1000, (byte)i))];
        for (int i = 0; i < files.Length; i++)
        {
            _client.Send(Cmd.GetInfo, new Payload().U32(16, 0, 0, 0), Cmd.NoReply);
            _client.Send(Cmd.DmaMap, WireClient.Map((ulong)i << 12, 0x1000), Cmd.NoReply, files[i].Number());
            _client.Post(0, 0, 1);
        }

        _client.AssertAlive();
        byte[] data = new byte[1];
        for (int i = 0; i < files.Length; i++)
        {
            Assert.Equal(Errno.None, _served.DmaRead((ulong)i << 12, data));
            Assert.Equal(i + 1, data[0]);
        }

        files.DisposeAll();
    }

    [Fact]
    public void Descriptors_OnTheHeaderOfACutMessage_BelongToIt()
    {
        using MemoryFile file = Handles.Memory(0x1000, 7);
        byte[] message = WireClient.Message(9, Cmd.DmaMap, WireClient.Map(0, 0x1000));
        _client.SendBytes(message.AsSpan(0, 16), file.Number());
        _client.SendBytes(message.AsSpan(16, 10));
        _client.SendBytes(message.AsSpan(26));
        Assert.Equal(0u, _client.ReceiveReply(9, Cmd.DmaMap).Error);
        byte[] data = new byte[1];
        Assert.Equal(Errno.None, _served.DmaRead(0, data));
        Assert.Equal(7, data[0]);
    }

    [Fact]
    public void Descriptors_OnTheBody_StillBelongToTheMessage()
    {
        using MemoryFile file = Handles.Memory(0x1000, 7);
        byte[] message = WireClient.Message(9, Cmd.DmaMap, WireClient.Map(0, 0x1000));
        _client.SendBytes(message.AsSpan(0, 16));
        _client.SendBytes(message.AsSpan(16), file.Number());
        Assert.Equal(0u, _client.ReceiveReply(9, Cmd.DmaMap).Error);
        Assert.Equal(Errno.None, _served.DmaRead(0, new byte[8]));
    }

    [Fact]
    public void Eventfd_ThatIsAPipe_IsEinvalAndItsVectorStaysSilent()
    {
        using var good = EventDescriptor.Create();
        byte[] body = WireClient.Irqs(4 | 32, 2, 0, 2);
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.SetIrqs, body, good.Number(), _write.Number()));
        AssertPassedOnesClosed();
        _served.Function.Port.SignalVector(0);
        Assert.Equal(0UL, good.Drain());
    }

    [Fact]
    public void Eventfd_ThatIsAFile_IsEinval()
    {
        using MemoryFile file = Handles.Memory(0x1000);
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.SetIrqs, WireClient.Irqs(4 | 32, 0, 0, 1), file.Number()));
        Assert.Equal(new byte[8], file.Content(0, 8));
    }

    [Fact]
    public void Eventfd_ThatIsFull_BlocksNobody()
    {
        using var full = EventDescriptor.Create();
        ulong almost = ulong.MaxValue - 1;
        Span<byte> bytes = stackalloc byte[8];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64LittleEndian(bytes, almost);
        using (var stream = new FileStream(new SafeFileHandle(full.Number(), false), FileAccess.Write, 0))
        {
            stream.Write(bytes);
        }

        _client.Succeed(Cmd.SetIrqs, WireClient.Irqs(4 | 32, 2, 0, 1), full.Number());
        _served.Function.Port.SignalVector(0);
        _client.Succeed(Cmd.SetIrqs, WireClient.Irqs(1 | 32, 2, 0, 1));
        Assert.Equal(almost, full.Drain());
    }

    private void AssertPassedOnesClosed()
    {
        // Those of a message go at the latest when the next one is looked for.
        _client.AssertAlive();
        _write.Dispose();
        Handles.AssertAllClosed(_read);
    }
}
