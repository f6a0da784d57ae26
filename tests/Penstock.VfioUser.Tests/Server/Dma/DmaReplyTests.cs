using Penstock.Interop;
using static Penstock.VfioUser.Tests.DmaWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Replies to DMA_READ and DMA_WRITE, commands 11 and 12: what is accepted, what is an error, and what is nobody's.</summary>
public sealed class DmaReplyTests : IDisposable
{
    private readonly ServedDma _rig = new();

    private WireClient Client => _rig.Client;

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(16, Errno.None)]
    [InlineData(12, Errno.None)]
    [InlineData(0, Errno.EPROTO)]
    [InlineData(8, Errno.EPROTO)]
    [InlineData(15, Errno.EPROTO)]
    public async Task DmaWrite_ReplyLength_TextAndQemuAreAccepted(int length, Errno expected)
    {
        WireClient client = Client;
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaWrite(Base, [1, 2, 3]));
        WireMessage command = ReceiveCommand(client, Cmd.DmaWrite);
        client.Answer(command, command.Body[..length]);
        Assert.Equal(expected, await work);
    }

    [Theory]
    [InlineData(19u, Errno.ENODEV)]
    [InlineData(14u, Errno.EFAULT)]
    [InlineData(4095u, (Errno)4095)]
    [InlineData(16u, Errno.EIO)]
    [InlineData(35u, Errno.EIO)]
    [InlineData(125u, Errno.EIO)]
    [InlineData(0u, Errno.EINVAL)]
    [InlineData(4096u, Errno.EINVAL)]
    [InlineData(0xffffffffu, Errno.EINVAL)]
    public async Task DmaRead_ErrorReply_IsTheErrnoOrEinval(uint error, Errno expected)
    {
        WireClient client = Client;
        byte[] data = new byte[8];
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaRead(Base, data));
        client.Answer(ReceiveCommand(client, Cmd.DmaRead), [], Cmd.TypeReply | Cmd.ErrorFlag, error);
        Assert.Equal(expected, await work);
        Assert.Equal(new byte[8], data);
    }

    [Theory]
    [InlineData("command")]
    [InlineData("iova")]
    [InlineData("count")]
    [InlineData("short")]
    [InlineData("long")]
    [InlineData("bare")]
    public async Task DmaRead_ReplyThatDoesNotEcho_IsEprotoAndTouchesNothing(string fault)
    {
        WireClient client = Client;
        byte[] data = new byte[8];
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaRead(Base, data));
        WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
        byte[] answer = Pattern(1, 8);
        switch (fault)
        {
            case "command":
                client.SendBytes(WireClient.Message(command.Id, Cmd.DmaWrite, [.. command.Body, .. answer], Cmd.TypeReply));
                break;
            case "iova":
                client.Answer(command, new Payload().U64(Base + 1, 8).Bytes(answer));
                break;
            case "count":
                client.Answer(command, new Payload().U64(Base, 7).Bytes(answer.AsSpan(0, 7)));
                break;
            case "short":
                client.Answer(command, [.. command.Body, .. answer[..7]]);
                break;
            case "long":
                client.Answer(command, [.. command.Body, .. answer, 0]);
                break;
            default:
                client.Answer(command, []);
                break;
        }

        Assert.Equal(Errno.EPROTO, await work);
        Assert.Equal(new byte[8], data);
        client.AssertAlive();
    }

    [Fact]
    public async Task DmaRead_ReplyWithAnotherId_IsDroppedAndTheRightOneTaken()
    {
        WireClient client = Client;
        byte[] data = new byte[4];
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaRead(Base, data));
        WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
        client.SendBytes(WireClient.Message((ushort)(command.Id + 1), Cmd.DmaRead, [.. command.Body, 9, 9, 9, 9], Cmd.TypeReply));
        client.AssertAlive();
        Assert.False(work.IsCompleted);
        client.Answer(command, [.. command.Body, 1, 2, 3, 4]);
        Assert.Equal(Errno.None, await work);
        Assert.Equal([1, 2, 3, 4], data);
    }

    [Fact]
    public async Task DmaRead_SecondReplyToTheSame_IsDropped()
    {
        WireClient client = Client;
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaRead(Base, new byte[4]));
        WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
        client.Answer(command, [.. command.Body, 1, 2, 3, 4]);
        client.Answer(command, [.. command.Body, 1, 2, 3, 4]);
        Assert.Equal(Errno.None, await work);
        client.AssertAlive();
    }

    [Fact]
    public void Reply_ToNothing_IsDroppedAndToldOnce()
    {
        for (ushort id = 0; id < 3; id++)
        {
            Client.SendBytes(WireClient.Message(id, Cmd.DmaRead, new byte[20], Cmd.TypeReply));
        }

        Client.AssertAlive();
        Assert.Single(_rig.Served.Log, static line => line.Contains("reply that nothing waits for", StringComparison.Ordinal));
    }
}
