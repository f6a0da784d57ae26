using Penstock.Interop;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Message DMA that is under way when the device stops or is reset: what is sent afterwards, and how it ends.</summary>
public sealed class HeldBackDmaTests
{
    private const int Length = 300 << 10;

    // So many messages go out before one is answered.
    private const int AtOnce = 32;
    private const string SmallParts = """{"capabilities":{"max_data_xfer_size":256}}""";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Reset_WhileDmaIsUnderWay_SendsNoMoreOfIt(bool stopped, bool awaited)
    {
        var function = new MovableFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = DmaWire.Prepare(served);
        Task<Errno> writing = Begin(function, awaited);
        WireMessage first = DmaWire.ReceiveCommand(client, Cmd.DmaWrite);
        if (stopped)
        {
            Assert.Equal(Errno.None, client.Move(Stop));
            client.Answer(first, first.Body[..16]);
            client.AssertAlive();
        }

        client.Succeed(Cmd.Reset, []);
        if (!stopped)
        {
            client.Answer(first, first.Body[..16]);
        }

        Assert.Equal(Errno.ECANCELED, await writing.WaitAsync(Patience));
        client.AssertAlive();
        Assert.False(client.HasInput);

        // What begins afterwards goes out.
        Task<Errno> next = function.Port.Dma.WriteAsync(DmaWire.Base, new byte[8]).AsTask();
        WireMessage command = DmaWire.ReceiveCommand(client, Cmd.DmaWrite);
        client.Answer(command, command.Body[..16]);
        Assert.Equal(Errno.None, await next.WaitAsync(Patience));
    }

    [Fact]
    public Task Stop_LongerThanThePeersTime_EverythingGoesOnAfterwards() => ShortTime.Try(TimeSpan.FromSeconds(2), static async time =>
    {
        const int Transfers = 40;
        var function = new MovableFunction();
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = time.Length }, function: function);
        using WireClient client = time.Honest(() => DmaWire.Prepare(served, SmallParts));
        Task<Errno>[] writing = time.Honest(() =>
        {
            Task<Errno>[] begun = [.. Enumerable.Range(0, Transfers).Select(_ => function.Port.Dma.WriteAsync(DmaWire.Base, new byte[512]).AsTask())];
            WireMessage[] first = [.. Enumerable.Range(0, AtOnce).Select(_ => DmaWire.ReceiveCommand(client, Cmd.DmaWrite))];
            Assert.Equal(Errno.None, client.Move(Stop));
            foreach (WireMessage command in first)
            {
                client.Answer(command, command.Body[..16]);
            }

            return begun;
        });
        await Task.Delay(time.Length * 1.2);
        Assert.False(client.HasInput);
        await time.Honest(async () =>
        {
            Assert.Equal(Errno.None, client.Move(Running));
            for (int left = (Transfers * 2) - AtOnce; left > 0; left--)
            {
                WireMessage command = DmaWire.ReceiveCommand(client, Cmd.DmaWrite);
                client.Answer(command, command.Body[..16]);
            }

            Assert.All(await Task.WhenAll(writing).WaitAsync(Patience), static errno => Assert.Equal(Errno.None, errno));
        });
    });

    [Fact]
    public async Task Stopped_Cancelled_EndsAtOnce()
    {
        var function = new MovableFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = DmaWire.Prepare(served);
        using var cancellation = new CancellationTokenSource();
        Task<Errno> writing = function.Port.Dma.WriteAsync(DmaWire.Base, new byte[Length], cancellation.Token).AsTask();
        WireMessage first = DmaWire.ReceiveCommand(client, Cmd.DmaWrite);
        Assert.Equal(Errno.None, client.Move(Stop));
        client.Answer(first, first.Body[..16]);
        client.AssertAlive();
        await cancellation.CancelAsync();
        Assert.Equal(Errno.ECANCELED, await writing.WaitAsync(Patience));
        Assert.Equal(Errno.None, client.Move(Running));
        client.AssertAlive();
        Assert.False(client.HasInput);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Stopped_ReplyToWhatWasNotSent_IsDropped(bool awaited)
    {
        var function = new MovableFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = DmaWire.Prepare(served, """{"capabilities":{"max_data_xfer_size":153600}}""");
        Task<Errno> writing = Begin(function, awaited);
        WireMessage first = DmaWire.ReceiveCommand(client, Cmd.DmaWrite);
        Assert.Equal(Errno.None, client.Move(Stop));
        client.Answer(first, first.Body[..16]);
        await Task.Delay(50);
        ulong iova = first.U64(0) + first.U64(8);
        for (ushort ahead = 1; ahead <= 4; ahead++)
        {
            byte[] guess = new Payload().U64(iova, Math.Min(first.U64(8), DmaWire.Base + Length - iova));
            client.SendBytes(WireClient.Message((ushort)(first.Id + ahead), Cmd.DmaWrite, guess, Cmd.TypeReply));
        }

        client.AssertAlive();
        Assert.Equal(Errno.None, client.Move(Running));
        for (ulong done = first.U64(8); done < Length;)
        {
            WireMessage command = DmaWire.ReceiveCommand(client, Cmd.DmaWrite);
            Assert.Equal(DmaWire.Base + done, command.U64(0));

            // It waits for the answer to this one: neither the next part comes, nor the end.
            await Task.Delay(30);
            Assert.False(client.HasInput || writing.IsCompleted);
            client.Answer(command, command.Body[..16]);
            done += command.U64(8);
        }

        Assert.Equal(Errno.None, await writing.WaitAsync(Patience));
        Assert.Contains(served.Log, static line => line.Contains("a reply that nothing waits for", StringComparison.Ordinal));
    }

    private static Task<Errno> Begin(MovableFunction function, bool awaited)
    {
        byte[] data = DmaWire.Pattern(0, Length);
        return awaited
            ? function.Port.Dma.WriteAsync(DmaWire.Base, data).AsTask()
            : Task.Run(() => function.Port.Dma.Write(DmaWire.Base, data));
    }
}
