using Penstock.Interop;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Commands 17 and 18, MIG_DATA_READ and MIG_DATA_WRITE.</summary>
public sealed class MigrationDataTests : IDisposable
{
    private readonly ServedMovable _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(Running)]
    [InlineData(Stop)]
    [InlineData(RunningP2P)]
    [InlineData(Resuming)]
    public void Read_StateWithoutData_IsEinval(uint state)
    {
        Assert.Equal(Errno.None, _rig.Client.Move(state));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigRead, MigRead(64)));
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
        Assert.Equal(Errno.None, _rig.Client.Move(state));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigWrite, MigWrite([1, 2, 3, 4])));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(1u)]
    [InlineData(4096u)]
    [InlineData((uint)Cmd.Megabyte)]
    public void Read_AnySize_IsFilledAsFarAsThereIsData(uint size)
    {
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        WireMessage reply = _rig.Client.Call(Cmd.MigRead, MigRead(size));
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
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigRead, MigRead(size, argsz)));
        Assert.Equal(Errno.None, _rig.Client.Try(Cmd.MigRead, MigRead(8)));
    }

    [Fact]
    public void Read_MoreThanTheClientSaidItTakes_IsEinval()
    {
        _rig.Client.Dispose();
        _rig.Served.NextEnd();
        using WireClient small = _rig.Served.Connect("""{"capabilities":{"max_data_xfer_size":4096}}""");
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
        Assert.Equal(Errno.None, _rig.Client.Move(state));
        byte[] body = MigRead(0);
        for (int length = 0; length < body.Length; length++)
        {
            Assert.Equal(Errno.EINVAL, _rig.Client.Try(command, body[..length]));
        }

        _rig.Client.AssertAlive();
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(63u)]
    [InlineData(65u)]
    [InlineData(uint.MaxValue)]
    public void Write_LengthThatDisagrees_IsEinval(uint size)
    {
        Assert.Equal(Errno.None, _rig.Client.Move(Resuming));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigWrite, MigWrite(new byte[64], size)));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigWrite, MigWrite(new byte[64], argsz: 7)));
    }

    [Fact]
    public void Write_GoodData_IsAnsweredByAHeaderAlone()
    {
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        byte[] state = _rig.Client.ReadAll(Cmd.Megabyte);
        Assert.Equal(Errno.None, _rig.Client.Move(Resuming));
        WireMessage reply = _rig.Client.Call(Cmd.MigWrite, MigWrite(state.AsSpan(0, 100)));
        Assert.Equal((0u, 0), (reply.Error, reply.Body.Length));
        reply = _rig.Client.Call(Cmd.MigWrite, MigWrite([]));
        Assert.Equal((0u, 0), (reply.Error, reply.Body.Length));
    }

    [Fact]
    public void Write_Rubbish_IsRefusedThenAndAtTheEndUntilReset()
    {
        Assert.Equal(Errno.None, _rig.Client.Move(Resuming));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigWrite, MigWrite(new byte[Cmd.Megabyte])));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigWrite, MigWrite(new byte[8])));
        Assert.Equal(Errno.EINVAL, _rig.Client.Move(Stop));
        Assert.Equal(Error, _rig.Client.State());
        Assert.Equal(Errno.EINVAL, _rig.Client.Move(Running));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigWrite, MigWrite(new byte[8])));
        Assert.Equal(Errno.None, _rig.Client.Try(Cmd.Reset, []));
        Assert.Equal(Running, _rig.Client.State());
    }

    [Fact]
    public void Read_AfterReset_IsEinval()
    {
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        Assert.Equal(Errno.None, _rig.Client.Try(Cmd.Reset, []));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.MigRead, MigRead(8)));
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        Assert.Equal(Errno.None, _rig.Client.Try(Cmd.MigRead, MigRead(8)));
    }

    [Theory]
    [InlineData(4097u, 1000)]
    [InlineData((uint)Cmd.Megabyte, Cmd.Megabyte)]
    public void Migrate_OverTheWire_DestinationEqualsSource(uint reads, int writes)
    {
        var random = new Random(1);
        byte[] part = new byte[64 << 10];
        random.NextBytes(part);
        _rig.Client.Write(0, 0, part);
        _rig.Client.Write(0, 2 << 20, part);
        _rig.Function.Limit = 5;
        Assert.Equal(Errno.None, _rig.Client.Move(PreCopy));
        var state = new List<byte>(_rig.Client.ReadAll(reads));

        // Nothing new is no error: the client decides when to stop.
        Assert.Equal(0u, _rig.Client.Call(Cmd.MigRead, MigRead(64)).U32(4));
        _rig.Client.Write(0, 1 << 20, part);
        state.AddRange(_rig.Client.ReadAll(reads));
        _rig.Client.Write(0, 4096, 1, 2, 3);
        Assert.Equal(Errno.None, _rig.Client.Move(StopCopy));
        state.AddRange(_rig.Client.ReadAll(reads));
        Assert.Equal(0u, _rig.Client.Call(Cmd.MigRead, MigRead(64)).U32(4));

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
            Assert.Equal(_rig.Function.Storage, function.Storage);
            Assert.Equal(5, function.Limit);
            Assert.Equal(_rig.Client.Read(Cmd.ConfigRegion, 0, 256), client.Read(Cmd.ConfigRegion, 0, 256));
        }
    }

    [Fact]
    public async Task Stopped_MessageDma_GoesOutOnlyWhenItRunsAgain()
    {
        _rig.Client.Succeed(Cmd.DmaMap, WireClient.Map(DmaWire.Base, 4 << 20));
        byte[] data = DmaWire.Pattern(0, 300 << 10);
        Task<Errno> writing = Task.Run(() => _rig.Function.Port.Dma.Write(DmaWire.Base, data));
        WireMessage first = DmaWire.ReceiveCommand(_rig.Client, Cmd.DmaWrite);
        Assert.Equal(Errno.None, _rig.Client.Move(Stop));
        _rig.Client.Answer(first, first.Body[..16]);

        // Two more parts are left, and neither comes.
        await Task.Delay(50);
        Assert.False(_rig.Client.HasInput);
        _rig.Client.AssertAlive();
        Assert.Equal(Errno.None, _rig.Client.Move(Running));
        for (int part = 0; part < 2; part++)
        {
            WireMessage next = DmaWire.ReceiveCommand(_rig.Client, Cmd.DmaWrite);
            _rig.Client.Answer(next, next.Body[..16]);
        }

        Assert.Equal(Errno.None, await writing);
    }
}
