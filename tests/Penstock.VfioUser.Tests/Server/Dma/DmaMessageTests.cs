using Penstock.Interop;
using static Penstock.VfioUser.Tests.DmaWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Commands 11 and 12, DMA_READ and DMA_WRITE: the server asks, the client answers, beside everything else on the socket.</summary>
public sealed class DmaMessageTests : IDisposable
{
    private const int QemuStallsAbove = 128 * 1024;

    private readonly ServedDma _rig = new();

    private WireClient Client => _rig.Client;

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(0ul, 0x2000ul)]
    [InlineData(0x7ffffffffffff000ul, 0x2000ul)]
    [InlineData(0xffffffffffffe000ul, 0x1000ul)]
    [InlineData(0xfffffffffffff000ul, 0x1000ul)]
    [InlineData(0xffffffffffffe000ul, 0x2000ul)]
    public async Task DmaRead_OfTheLastBytesOfAMap_AsksForTheirAddress(ulong iova, ulong size)
    {
        Client.Succeed(Cmd.DmaMap, WireClient.Map(iova, size));
        byte[] data = new byte[8];
        ulong at = iova + (size - 8);
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaRead(at, data));
        WireMessage command = ReceiveCommand(Client, Cmd.DmaRead);
        Assert.Equal(at, command.U64(0));
        Client.Answer(command, [.. command.Body, .. Pattern(0, 8)]);
        Assert.Equal(Errno.None, await work);
        Assert.Equal(Pattern(0, 8), data);
        Client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(iova, size));
        Assert.Equal(Errno.EFAULT, await _rig.Served.OnStrand(() => _rig.Served.DmaRead(at, data)));
    }

    [Theory]
    [InlineData(100, 1000)]
    [InlineData(4096, 10_000)]
    [InlineData(QemuStallsAbove, 300_000)]
    [InlineData(1 << 20, 1 << 20)]
    [InlineData(64 << 20, 200_000)]
    public async Task DmaRead_LongerThanAChunk_IsSplitByBothLimits(int clientLimit, int length)
    {
        using var served = new ServedFunction();
        using WireClient client = Prepare(served, $$$"""{"capabilities":{"max_data_xfer_size":{{{clientLimit}}}}}""");
        byte[] data = new byte[length];
        Task<Errno> work = served.OnStrand(() => served.DmaRead(Base, data));
        int done = 0;
        while (done < length)
        {
            WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
            int count = (int)command.U64(8);
            Assert.Equal(Base + (ulong)done, command.U64(0));
            Assert.InRange(count, 1, Math.Min(clientLimit, QemuStallsAbove));
            Assert.Equal(16, command.Body.Length);
            client.Answer(command, [.. command.Body, .. Pattern(done, count)]);
            done += count;
        }

        Assert.Equal(length, done);
        Assert.Equal(Errno.None, await work);
        Assert.Equal(Pattern(0, length), data);
    }

    [Theory]
    [InlineData(100, 1000)]
    [InlineData(QemuStallsAbove, 300_000)]
    [InlineData(1 << 20, 1 << 20)]
    public async Task DmaWrite_LongerThanAChunk_IsSplitByBothLimits(int clientLimit, int length)
    {
        using var served = new ServedFunction();
        using WireClient client = Prepare(served, $$$"""{"capabilities":{"max_data_xfer_size":{{{clientLimit}}}}}""");
        Task<Errno> work = served.OnStrand(() => served.DmaWrite(Base, Pattern(0, length)));
        var arrived = new List<byte>();
        while (arrived.Count < length)
        {
            WireMessage command = ReceiveCommand(client, Cmd.DmaWrite);
            Assert.Equal(Base + (ulong)arrived.Count, command.U64(0));
            Assert.InRange(command.U64(8), 1ul, (ulong)Math.Min(clientLimit, QemuStallsAbove));
            Assert.Equal(command.U64(8), (ulong)command.Body.Length - 16);
            arrived.AddRange(command.Body[16..]);
            client.Answer(command, command.Body[..16]);
        }

        Assert.Equal(Errno.None, await work);
        Assert.Equal(Pattern(0, length), arrived);
    }

    [Fact]
    public async Task Dma_ManyInFlight_MayBeAnsweredInAnyOrder()
    {
        WireClient client = Client;
        byte[][] buffers = [.. Enumerable.Range(0, 8).Select(static _ => new byte[64])];
        Task<Errno>[] work = [.. buffers.Select((b, i) => _rig.Served.Function.Port.Dma.ReadAsync(Base + (ulong)(i * 64), b).AsTask())];
        WireMessage[] commands = [.. work.Select(_ => ReceiveCommand(client, Cmd.DmaRead))];
        Assert.Equal(work.Length, commands.Select(static c => c.Id).Distinct().Count());
        foreach (WireMessage command in commands.Reverse())
        {
            client.Answer(command, [.. command.Body, .. Pattern((int)(command.U64(0) - Base), 64)]);
        }

        Assert.All(await Task.WhenAll(work), static e => Assert.Equal(Errno.None, e));
        Assert.Equal(Pattern(0, 512), buffers.SelectMany(static b => b));
    }

    [Fact]
    public async Task Dma_MoreThanFitInFlight_AllAreServed()
    {
        const int Transfers = 100;
        WireClient client = Client;
        Task<Errno>[] work = [.. Enumerable.Range(0, Transfers).Select(i =>
            _rig.Served.Function.Port.Dma.WriteAsync(Base + (ulong)i, new byte[] { (byte)i }).AsTask())];
        var seen = new HashSet<ulong>();
        for (int i = 0; i < Transfers; i++)
        {
            WireMessage command = ReceiveCommand(client, Cmd.DmaWrite);
            Assert.True(seen.Add(command.U64(0)));
            Assert.Equal((byte)(command.U64(0) - Base), command.Body[16]);
            client.Answer(command, command.Body[..16]);
        }

        Assert.All(await Task.WhenAll(work), static e => Assert.Equal(Errno.None, e));
    }

    /// <summary>
    /// A client that answers as late as it can never owes more than fits a usual socket buffer together: a real QEMU sends a part of what does not
    /// fit and then something else. Long ones come to their turn beside many short ones, awaited and blocking ones alike.
    /// </summary>
    [Fact]
    public async Task DmaRead_ManyLongOnesAtOnce_AnswersTogetherFitTheClientsBuffer()
    {
        const int Each = 12;
        const int FitsTogether = 180_224;
        WireClient client = Client;
        int[] lengths = [QemuStallsAbove, 64, 4096];
        byte[][] buffers = [.. Enumerable.Range(0, Each * lengths.Length).Select(i => new byte[lengths[i % lengths.Length]])];
        Task<Errno>[] work = [.. buffers.Select((buffer, i) => i % 2 == 0
            ? _rig.Served.Function.Port.Dma.ReadAsync(Base + (ulong)i, buffer).AsTask()
            : Task.Factory.StartNew(() => _rig.Served.DmaRead(Base + (ulong)i, buffer), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        var owed = new List<WireMessage>();
        for (int answered = 0; answered < work.Length;)
        {
            if (Poll.Wait(client.Descriptor, PollEvents.In, TimeSpan.FromMilliseconds(50)) != PollEvents.None)
            {
                owed.Add(ReceiveCommand(client, Cmd.DmaRead));
                Assert.InRange(owed.Sum(static c => 32 + (int)c.U64(8)), 0, FitsTogether);
                continue;
            }

            foreach (WireMessage command in owed)
            {
                client.Answer(command, [.. command.Body, .. Pattern((int)(command.U64(0) - Base), (int)command.U64(8))]);
                answered++;
            }

            owed.Clear();
        }

        Assert.All(await Task.WhenAll(work), static e => Assert.Equal(Errno.None, e));
        Assert.All(buffers.Select(static (buffer, i) => (buffer, i)), static b => Assert.Equal(Pattern(b.i, b.buffer.Length), b.buffer));
    }

    [Fact]
    [Trait("Row", "VU-F10")]
    public async Task Dma_WhileClientCommandsComeToo_BothDirectionsAreServed()
    {
        const int Rounds = 200;
        WireClient client = Client;
        byte[] data = new byte[256];
        Task<Errno> work = _rig.Served.OnStrand(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                Errno errno = _rig.Served.DmaRead(Base, data);
                if (errno != Errno.None)
                {
                    return errno;
                }
            }

            return Errno.None;
        });
        int dma = 0;
        int replies = 0;
        int sent = 0;
        while (dma < Rounds || replies < Rounds)
        {
            // Always a few commands of the client without a reply, also while it owes the server one.
            while (sent < Rounds && sent - replies < 4)
            {
                client.SendBytes(WireClient.Message((ushort)sent++, Cmd.RegionRead, WireClient.Access(0, 0, 8)));
            }

            WireMessage message = client.Receive();
            if (message.IsCommand)
            {
                Assert.Equal(Cmd.DmaRead, message.Command);
                client.Answer(message, [.. message.Body, .. new byte[256]]);
                dma++;
            }
            else
            {
                Assert.Equal(((ushort)replies++, Cmd.RegionRead), (message.Id, message.Command));
            }
        }

        Assert.Equal(Errno.None, await work);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void DmaPosted_InARegisterAccess_StartsAfterTheReply(bool read)
    {
        WireClient client = Client;
        void Start(ulong offset) => _rig.Served.Function.Port.Strand.Post(() => _rig.Served.DmaRead(Base, new byte[4]));
        _rig.Served.Function.OnPortRead = Start;
        _rig.Served.Function.OnPortWrite = offset =>
        {
            Start(offset);
            return Errno.None;
        };
        for (int i = 0; i < 100; i++)
        {
            // Call fails on anything but the reply as the next message.
            WireMessage reply = read
                ? client.Call(Cmd.RegionRead, WireClient.Access(0, WireFunction.PortBar, 1))
                : client.Call(Cmd.RegionWrite, [.. WireClient.Access(0, WireFunction.PortBar, 1), 1]);
            Assert.Equal(0u, reply.Error);
            WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
            client.Answer(command, [.. command.Body, .. new byte[4]]);
        }
    }

    [Fact]
    public async Task Dma_FromAnotherThreadDuringAnAccess_WaitsForTheReply()
    {
        WireClient client = Client;
        Task<Errno>? other = null;
        _rig.Served.Function.OnPortRead = _ =>
        {
            using var started = new ManualResetEventSlim();
            other = Task.Run(() =>
            {
                started.Set();
                return _rig.Served.DmaRead(Base, new byte[4]);
            });
            started.Wait();
            Thread.Sleep(20);
        };
        Assert.Equal(0u, client.Call(Cmd.RegionRead, WireClient.Access(0, WireFunction.PortBar, 1)).Error);
        WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
        client.Answer(command, [.. command.Body, .. new byte[4]]);
        Assert.Equal(Errno.None, await other!);
    }

    [Fact]
    public void DmaBlocking_InARegisterAccess_IsEdeadlkAndSendsNothing()
    {
        WireClient client = Client;
        Errno seen = Errno.None;
        _rig.Served.Function.OnPortRead = _ => seen = _rig.Served.DmaRead(Base, new byte[4]);
        client.Read(WireFunction.PortBar, 0, 1);
        Assert.Equal(Errno.EDEADLK, seen);
        client.AssertAlive();
    }

    [Fact]
    public async Task DmaAsync_BegunInARegisterAccess_GoesOutAfterTheReply()
    {
        WireClient client = Client;
        Task<Errno>? begun = null;
        _rig.Served.Function.OnPortRead = _ => begun = _rig.Served.Function.Port.Dma.ReadAsync(Base, new byte[4]).AsTask();
        Assert.Equal(0u, client.Call(Cmd.RegionRead, WireClient.Access(0, WireFunction.PortBar, 1)).Error);
        WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
        client.Answer(command, [.. command.Body, .. new byte[4]]);
        Assert.Equal(Errno.None, await begun!);
    }

    [Fact]
    public async Task DmaAsync_BegunOnTheStrandWhileAnAccessWaitsForIt_LocksNothingUp()
    {
        WireClient client = Client;
        using var onStrand = new ManualResetEventSlim();
        using var accessUnderWay = new ManualResetEventSlim();
        Task<Task<Errno>> work = _rig.Served.OnStrand(() =>
        {
            onStrand.Set();
            accessUnderWay.Wait();
            return _rig.Served.Function.Port.Dma.ReadAsync(Base, new byte[4]).AsTask();
        });
        onStrand.Wait();
        ushort id = client.Send(Cmd.RegionRead, WireClient.Access(0, 0, 4));

        // The access holds back all sending from its start, soon after it was sent. On a busy machine the transfer may be first all the same.
        Thread.Sleep(50);
        accessUnderWay.Set();
        WireMessage[] messages = [client.Receive(), Answered(client.Receive())];
        Answered(messages[0]);
        Assert.Single(messages, static m => m.IsCommand && m.Command == Cmd.DmaRead);
        Assert.Single(messages, m => !m.IsCommand && (m.Id, m.Command, m.Error) == (id, Cmd.RegionRead, 0u));
        Assert.Equal(Errno.None, await await work);

        WireMessage Answered(WireMessage message)
        {
            if (message.IsCommand)
            {
                client.Answer(message, [.. message.Body, .. new byte[4]]);
            }

            return message;
        }
    }

    [Fact]
    public async Task Dma_ClientDoesNotAnswer_TimesOutAndALateReplyIsDropped()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromSeconds(2) });
        using WireClient client = Prepare(served);
        byte[] data = new byte[4];
        Task<Errno> blocking = served.OnStrand(() => served.DmaRead(Base, data));
        WireMessage late = ReceiveCommand(client, Cmd.DmaRead);
        Assert.Equal(Errno.ETIMEDOUT, await blocking);
        Task<Errno> awaited = served.Function.Port.Dma.ReadAsync(Base, data).AsTask();
        WireMessage lateToo = ReceiveCommand(client, Cmd.DmaRead);
        Assert.Equal(Errno.ETIMEDOUT, await awaited);
        client.Answer(late, [.. late.Body, 1, 2, 3, 4]);
        client.Answer(lateToo, [.. late.Body, 1, 2, 3, 4]);
        client.AssertAlive();
        Assert.Equal(new byte[4], data);
    }

    [Fact]
    public async Task DmaAsync_Cancelled_IsEcanceledAndTheReplyTouchesNothing()
    {
        WireClient client = Client;
        using var cancellation = new CancellationTokenSource();
        byte[] data = new byte[4];
        Task<Errno> work = _rig.Served.Function.Port.Dma.ReadAsync(Base, data, cancellation.Token).AsTask();
        WireMessage command = ReceiveCommand(client, Cmd.DmaRead);
        await cancellation.CancelAsync();
        Assert.Equal(Errno.ECANCELED, await work);
        client.Answer(command, [.. command.Body, 1, 2, 3, 4]);
        client.AssertAlive();
        Assert.Equal(new byte[4], data);
    }

    [Fact]
    public async Task Dma_BusMasterOff_IsEaccesAndSendsNothing()
    {
        Client.Write(Cmd.ConfigRegion, 4, 3, 0);
        Assert.Equal(Errno.EACCES, await _rig.Served.OnStrand(() => _rig.Served.DmaRead(Base, new byte[4])));
        Client.AssertAlive();
    }

    [Fact]
    public async Task Dma_CommandsOfTheServerFromTheClient_AreEinval()
    {
        Assert.Equal(Errno.EINVAL, Client.Try(Cmd.DmaRead, new Payload().U64(Base, 4)));
        Assert.Equal(Errno.EINVAL, Client.Try(Cmd.DmaWrite, new Payload().U64(Base, 4).U32(1)));
        Task<Errno> work = _rig.Served.OnStrand(() => _rig.Served.DmaWrite(Base, [1]));
        WireMessage command = ReceiveCommand(Client, Cmd.DmaWrite);
        Client.Answer(command, command.Body[..16]);
        Assert.Equal(Errno.None, await work);
    }
}
