using Penstock.Interop;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Commands 17 and 18, MIG_DATA_READ and MIG_DATA_WRITE.</summary>
public sealed class MigrationDataTests : IDisposable
{
    private readonly MovableFunction _function = new();
    private readonly ServedFunction _served;
    private readonly WireClient _client;

    public MigrationDataTests()
    {
        _served = new ServedFunction(function: _function);
        _client = _served.ConnectEnabled();
    }

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
    }

    [Theory]
    [InlineData(Running)]
    [InlineData(Stop)]
    [InlineData(RunningP2P)]
    [InlineData(Resuming)]
    public void Read_StateWithoutData_IsEinval(uint state)
    {
        Assert.Equal(Errno.None, _client.Move(state));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigRead, MigRead(64)));
    }

    [Theory]
    [InlineData(Running)]
    [InlineData(Stop)]
    [InlineData(RunningP2P)]
    [InlineData(StopCopy)]
    [InlineData(PreCopy)]
    [InlineData(PreCopyP2P)]
    public void Write_StateThatTakesNone_IsEinval(uint state)
    {
        Assert.Equal(Errno.None, _client.Move(state));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigWrite, MigWrite([1, 2, 3, 4])));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(1u)]
    [InlineData(4096u)]
    [InlineData((uint)Cmd.Megabyte)]
    public void Read_AnySize_IsFilledAsFarAsThereIsData(uint size)
    {
        Assert.Equal(Errno.None, _client.Move(StopCopy));
        WireMessage reply = _client.Call(Cmd.MigRead, MigRead(size));
        Assert.Equal(0u, reply.Error);
        Assert.Equal((8 + size, size), (reply.U32(0), reply.U32(4)));
        Assert.Equal((int)size + 8, reply.Body.Length);
    }

    [Theory]
    [InlineData(64u, 71u)]
    [InlineData(64u, 0u)]
    [InlineData(Cmd.Megabyte + 1u, 2u * Cmd.Megabyte)]
    [InlineData(uint.MaxValue, uint.MaxValue)]
    [InlineData(uint.MaxValue, 7u)]
    public void Read_SizeThatCannotBe_IsEinval(uint size, uint argsz)
    {
        Assert.Equal(Errno.None, _client.Move(StopCopy));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigRead, MigRead(size, argsz)));
        Assert.Equal(Errno.None, _client.Try(Cmd.MigRead, MigRead(8)));
    }

    [Fact]
    public void Read_MoreThanTheClientSaidItTakes_IsEinval()
    {
        _client.Dispose();
        _served.NextEnd();
        using WireClient small = _served.Connect("""{"capabilities":{"max_data_xfer_size":4096}}""");
        Assert.Equal(Errno.None, small.Move(StopCopy));
        Assert.Equal(Errno.None, small.Try(Cmd.MigRead, MigRead(4096)));
        Assert.Equal(Errno.EINVAL, small.Try(Cmd.MigRead, MigRead(4097)));
    }

    [Theory]
    [InlineData(Cmd.MigRead, Resuming)]
    [InlineData(Cmd.MigRead, StopCopy)]
    [InlineData(Cmd.MigWrite, Resuming)]
    public void Data_ShortBody_IsEinval(ushort command, uint state)
    {
        Assert.Equal(Errno.None, _client.Move(state));
        byte[] body = MigRead(0);
        for (int length = 0; length < body.Length; length++)
        {
            Assert.Equal(Errno.EINVAL, _client.Try(command, body[..length]));
        }

        _client.AssertAlive();
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(63u)]
    [InlineData(65u)]
    [InlineData(uint.MaxValue)]
    public void Write_LengthThatDisagrees_IsEinval(uint size)
    {
        Assert.Equal(Errno.None, _client.Move(Resuming));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigWrite, MigWrite(new byte[64], size)));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigWrite, MigWrite(new byte[64], argsz: 7)));
    }

    [Fact]
    public void Write_GoodData_IsAnsweredByAHeaderAlone()
    {
        Assert.Equal(Errno.None, _client.Move(StopCopy));
        byte[] state = _client.ReadAll(Cmd.Megabyte);
        Assert.Equal(Errno.None, _client.Move(Resuming));
        WireMessage reply = _client.Call(Cmd.MigWrite, MigWrite(state.AsSpan(0, 100)));
        Assert.Equal((0u, 0), (reply.Error, reply.Body.Length));
        reply = _client.Call(Cmd.MigWrite, MigWrite([]));
        Assert.Equal((0u, 0), (reply.Error, reply.Body.Length));
    }

    [Fact]
    public void Write_Rubbish_IsRefusedThenAndAtTheEndUntilReset()
    {
        Assert.Equal(Errno.None, _client.Move(Resuming));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigWrite, MigWrite(new byte[Cmd.Megabyte])));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigWrite, MigWrite(new byte[8])));
        Assert.Equal(Errno.EINVAL, _client.Move(Stop));
        Assert.Equal(Error, _client.State());
        Assert.Equal(Errno.EINVAL, _client.Move(Running));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigWrite, MigWrite(new byte[8])));
        Assert.Equal(Errno.None, _client.Try(Cmd.Reset, []));
        Assert.Equal(Running, _client.State());
    }

    [Fact]
    public void Read_AfterReset_IsEinval()
    {
        Assert.Equal(Errno.None, _client.Move(StopCopy));
        Assert.Equal(Errno.None, _client.Try(Cmd.Reset, []));
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.MigRead, MigRead(8)));
        Assert.Equal(Errno.None, _client.Move(StopCopy));
        Assert.Equal(Errno.None, _client.Try(Cmd.MigRead, MigRead(8)));
    }

    [Theory]
    [InlineData(4097u, 1000)]
    [InlineData((uint)Cmd.Megabyte, Cmd.Megabyte)]
    public void Migrate_OverTheWire_DestinationEqualsSource(uint reads, int writes)
    {
        var random = new Random(1);
        byte[] part = new byte[64 << 10];
        random.NextBytes(part);
        _client.Write(0, 0, part);
        _client.Write(0, 2 << 20, part);
        _function.Limit = 5;
        Assert.Equal(Errno.None, _client.Move(PreCopy));
        var state = new List<byte>(_client.ReadAll(reads));

        // Nothing new is no error: the client decides when to stop.
        Assert.Equal(0u, _client.Call(Cmd.MigRead, MigRead(64)).U32(4));
        _client.Write(0, 1 << 20, part);
        state.AddRange(_client.ReadAll(reads));
        _client.Write(0, 4096, 1, 2, 3);
        Assert.Equal(Errno.None, _client.Move(StopCopy));
        state.AddRange(_client.ReadAll(reads));
        Assert.Equal(0u, _client.Call(Cmd.MigRead, MigRead(64)).U32(4));

        var function = new MovableFunction();
        using var served = new ServedFunction(function: function);
        using (WireClient client = served.Connect())
        {
            Assert.Equal(Errno.None, client.Move(Resuming));
            byte[] bytes = [.. state];
            for (int at = 0; at < bytes.Length; at += writes)
            {
                Assert.Equal(Errno.None, client.Try(Cmd.MigWrite, MigWrite(bytes.AsSpan(at, Math.Min(writes, bytes.Length - at)))));
            }

            Assert.Equal(Errno.None, client.Move(Running));
            Assert.Equal(_function.Storage, function.Storage);
            Assert.Equal(5, function.Limit);
            Assert.Equal(_client.Read(Cmd.ConfigRegion, 0, 256), client.Read(Cmd.ConfigRegion, 0, 256));
        }
    }

    [Fact]
    public async Task Stopped_MessageDma_GoesOutOnlyWhenItRunsAgain()
    {
        _client.Succeed(Cmd.DmaMap, WireClient.Map(DmaWire.Base, 4 << 20));
        byte[] data = DmaWire.Pattern(0, 300 << 10);
        Task<Errno> writing = Task.Run(() => _function.Port.Dma.Write(DmaWire.Base, data));
        WireMessage first = DmaWire.ReceiveCommand(_client, Cmd.DmaWrite);
        Assert.Equal(Errno.None, _client.Move(Stop));
        _client.Answer(first, first.Body[..16]);

        // Two more parts are left, and neither comes.
        await Task.Delay(50);
        Assert.False(_client.HasInput);
        _client.AssertAlive();
        Assert.Equal(Errno.None, _client.Move(Running));
        for (int part = 0; part < 2; part++)
        {
            WireMessage next = DmaWire.ReceiveCommand(_client, Cmd.DmaWrite);
            _client.Answer(next, next.Body[..16]);
        }

        Assert.Equal(Errno.None, await writing);
    }
}
