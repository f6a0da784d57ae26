using System.Diagnostics;
using Penstock.Interop;
using static Penstock.VfioUser.Tests.DmaWire;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Posted work that waits for messages and reads the connection itself: what else may come meanwhile, and every way in which it ends.</summary>
public sealed class PostedDmaTests : IDisposable
{
    private const int Few = 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly ReaderNames _readers = new();
    private MovableFunction _function = new();
    private ServedFunction? _served;
    private WireClient? _client;

    public void Dispose()
    {
        _client?.Dispose();
        _served?.Dispose();
        _client = null;
        _served = null;
    }

    [Fact]
    public async Task Work_ManyMessages_ReadsTheRepliesItself()
    {
        Prepare();
        for (long begun = Stopwatch.GetTimestamp(); _readers.RepliesReadBy(ServedFunction.SlotName) == 0 && Stopwatch.GetElapsedTime(begun) < Patience;)
        {
            await Transfer(Few);
        }

        Assert.NotEqual(0, _readers.RepliesReadBy(ServedFunction.SlotName));
        _client!.AssertAlive();
    }

    [Fact]
    public async Task Command_WhileWorkReads_IsAnsweredBeforeTheReplyToTheWork()
    {
        Prepare();
        for (int i = 0; i < Few; i++)
        {
            Task<Errno> work = Work(3);
            AnswerNext();
            WireMessage second = ReceiveCommand(_client!, Cmd.DmaWrite);

            // The work waits for this reply; a register, and what needs no strand, are answered all the same.
            Assert.Equal(4, _client!.Read(0, 0, 4).Length);
            _client.AssertAlive();
            Assert.False(work.IsCompleted);
            Answer(second);
            AnswerNext();
            Assert.Equal(Errno.None, await work.WaitAsync(Patience));
        }
    }

    [Fact]
    public async Task Command_InOnePieceWithTheReply_IsAnsweredThoughTheWorkGoesOn()
    {
        Prepare();
        using var hold = new ManualResetEventSlim();
        Task<Errno> work = Work(2, hold.Wait);
        AnswerNext();
        WireMessage second = ReceiveCommand(_client!, Cmd.DmaWrite);
        byte[] info = WireClient.Message(77, Cmd.GetInfo, new Payload().U32(16, 0, 0, 0));
        _client!.SendBytes([.. WireClient.Message(second.Id, Cmd.DmaWrite, second.Body[..16], Cmd.TypeReply), .. info]);
        _client!.ReceiveReply(77, Cmd.GetInfo);
        hold.Set();
        Assert.Equal(Errno.None, await work.WaitAsync(Patience));
    }

    [Fact]
    public async Task Command_WhileWorkComputesForLong_IsAnswered()
    {
        Prepare();
        using var hold = new ManualResetEventSlim();
        Task<Errno> work = Work(Few, hold.Wait);
        for (int i = 0; i < Few; i++)
        {
            AnswerNext();
        }

        // The work is on the strand, not in a wait for messages, and nobody tells the session when it will be.
        _client!.AssertAlive();
        Assert.False(work.IsCompleted);
        hold.Set();
        Assert.Equal(Errno.None, await work.WaitAsync(Patience));
    }

    [Fact]
    public async Task Reply_NobodyWaitsFor_WhileWorkReads_IsDropped()
    {
        Prepare();
        Task<Errno> work = Work(3);
        AnswerNext();
        WireMessage second = ReceiveCommand(_client!, Cmd.DmaWrite);
        _client!.SendBytes(WireClient.Message((ushort)(second.Id + 9), Cmd.DmaWrite, second.Body[..16], Cmd.TypeReply));
        Answer(second);
        AnswerNext();
        Assert.Equal(Errno.None, await work.WaitAsync(Patience));
        Assert.Contains(_served!.Log, static line => line.Contains("a reply that nothing waits for", StringComparison.Ordinal));
    }

    [Fact]
    public async Task OtherTransfers_BesideTheWork_AllEnd()
    {
        Prepare();
        Task<Errno>[] all = [Work(200), Other(), Other(), Awaited()];
        for (int i = 0; i < 4 * 200; i++)
        {
            AnswerNext();
        }

        Assert.All(await Task.WhenAll(all).WaitAsync(Patience), static errno => Assert.Equal(Errno.None, errno));
        Task<Errno> Other() => Task.Factory.StartNew(() => Write(200), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        async Task<Errno> Awaited()
        {
            Errno errno = Errno.None;
            for (int i = 0; i < 200 && errno == Errno.None; i++)
            {
                errno = await _function.Port.Dma.WriteAsync(Base, new byte[8]);
            }

            return errno;
        }
    }

    [Fact]
    public async Task Awaited_StillOpenWhenTheWorkIsOver_GetsItsReply()
    {
        Prepare();
        Task<Errno> awaited = _function.Port.Dma.ReadAsync(Base, new byte[8]).AsTask();
        WireMessage open = ReceiveCommand(_client!, Cmd.DmaRead);
        await Transfer(Few);
        _client!.Answer(open, [.. open.Body, .. new byte[8]]);
        Assert.Equal(Errno.None, await awaited.WaitAsync(Patience));
    }

    [Fact]
    public Task NoReply_WhileWorkReads_IsEtimedoutAndTheSessionLives() => ShortTime.Try(TimeSpan.FromSeconds(2), async time =>
    {
        Dispose();
        _function = new MovableFunction();
        time.Honest(() => Prepare(time.Length));
        (Task<Errno> work, WireMessage second) = time.Honest(() =>
        {
            Task<Errno> begun = Work(2);
            AnswerNext();
            return (begun, ReceiveCommand(_client!, Cmd.DmaWrite));
        });
        Assert.Equal(Errno.ETIMEDOUT, await work.WaitAsync(Patience));
        Answer(second);
        _client!.AssertAlive();
        await time.Honest(() => Transfer(Few));
    });

    [Fact]
    public async Task ClientGone_WhileWorkReads_EndsBoth()
    {
        Prepare();
        Task<Errno> work = Work(2);
        AnswerNext();
        ReceiveCommand(_client!, Cmd.DmaWrite);
        _client!.Dispose();
        Assert.Contains(await work.WaitAsync(Patience), new[] { Errno.ENOTCONN, Errno.EACCES, Errno.ECANCELED });
        Assert.Equal(SessionEndKind.ClientClosed, _served!.NextEnd().Kind);
        _served.AssertBalanced();
        Connect();
        await Transfer(Few);
    }

    [Fact]
    public async Task ServerStopped_WhileWorkReads_EndsBoth()
    {
        Prepare();
        Task<Errno> work = Work(2);
        AnswerNext();
        ReceiveCommand(_client!, Cmd.DmaWrite);
        _served!.Server.Stop();
        Assert.True(_served.Server.Wait(Patience));
        Assert.Contains(await work.WaitAsync(Patience), new[] { Errno.ENOTCONN, Errno.EACCES, Errno.ECANCELED });
        _served.AssertBalanced();
    }

    [Fact]
    public async Task ServerStopped_WhileWorkComputes_Ends()
    {
        Prepare();
        using var hold = new ManualResetEventSlim();
        Task<Errno> work = Work(2, hold.Wait);
        AnswerNext();
        AnswerNext();
        _served!.Server.Stop();

        // The end resets the function, which needs its strand.
        hold.Set();
        Assert.True(_served.Server.Wait(Patience));
        await work.WaitAsync(Patience);
    }

    [Fact]
    public async Task Reset_WhileWorkReads_CancelsIt()
    {
        Prepare();
        byte[] data = new byte[4 * DmaMessageChannel.ChunkLimit];
        Task<Errno> work = _served!.OnStrandOf(_function.Port.Strand, () => _function.Port.Dma.Write(Base, data));
        AnswerNext();
        WireMessage second = ReceiveCommand(_client!, Cmd.DmaWrite);
        _client!.Succeed(Cmd.Reset, []);
        Answer(second);
        Assert.Equal(Errno.ECANCELED, await work.WaitAsync(Patience));
        _client!.AssertAlive();
        Assert.False(_client!.HasInput);
        await Transfer(Few);
    }

    [Fact]
    public async Task Stop_WhileWorkReads_NothingGoesOutUntilItRunsAgain()
    {
        Prepare();
        Task<Errno> work = Work(3);
        AnswerNext();
        WireMessage second = ReceiveCommand(_client!, Cmd.DmaWrite);
        Assert.Equal(Errno.None, _client!.Move(Stop));
        Answer(second);
        _client!.AssertAlive();
        await Task.Delay(50);
        Assert.False(_client!.HasInput || work.IsCompleted);
        _client!.AssertAlive();
        Assert.Equal(Errno.None, _client!.Move(Running));
        AnswerNext();
        Assert.Equal(Errno.None, await work.WaitAsync(Patience));
    }

    [Fact]
    public void Work_ManyMessages_AllocatesNothing()
    {
        const int Measured = 500;
        const int Windows = 5;
        Prepare(observe: false);
        long least = long.MaxValue;
        byte[] data = new byte[64];
        using var done = new ManualResetEventSlim();
        _function.Port.Strand.Post(() =>
        {
            for (int window = 0; window <= Windows; window++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < Measured; i++)
                {
                    if (_function.Port.Dma.Write(Base, data) != Errno.None || _function.Port.Dma.Read(Base, data) != Errno.None)
                    {
                        return;
                    }
                }

                // The first window warms up. What each message allocated would be seen in every other one.
                least = window == 0 ? least : Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            }

            done.Set();
        });
        for (int i = 0; i < (Windows + 1) * Measured; i++)
        {
            AnswerNext();
            WireMessage read = ReceiveCommand(_client!, Cmd.DmaRead);
            _client!.Answer(read, [.. read.Body, .. data]);
        }

        Assert.True(done.Wait(Patience));
        Assert.Equal(0, least);
    }

    private void Prepare(TimeSpan? time = null, bool observe = true)
    {
        var options = new VfioUserServerOptions { Observer = observe ? _readers : null };
        _served = new ServedFunction(
            time is TimeSpan known ? new VfioUserServerOptions { Observer = _readers, PeerTimeout = known } : options, function: _function);
        Connect();
    }

    private void Connect() => _client = DmaWire.Prepare(_served!);

    /// <summary>Posted work that writes by message so many times, then does something else.</summary>
    private Task<Errno> Work(int messages, Action? then = null) => _served!.OnStrandOf(_function.Port.Strand, () =>
    {
        Errno errno = Write(messages);
        then?.Invoke();
        return errno;
    });

    private async Task Transfer(int messages)
    {
        Task<Errno> work = Work(messages);
        for (int i = 0; i < messages; i++)
        {
            AnswerNext();
        }

        Assert.Equal(Errno.None, await work.WaitAsync(Patience));
    }

    private Errno Write(int messages)
    {
        byte[] data = new byte[8];
        Errno errno = Errno.None;
        for (int i = 0; i < messages && errno == Errno.None; i++)
        {
            errno = _function.Port.Dma.Write(Base, data);
        }

        return errno;
    }

    private void AnswerNext() => Answer(ReceiveCommand(_client!, Cmd.DmaWrite));

    private void Answer(WireMessage command) => _client!.Answer(command, command.Body[..16]);

    /// <summary>Which threads read replies.</summary>
    private sealed class ReaderNames : IMessageObserver
    {
        private readonly List<string?> _names = [];

        public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
        {
            if (fromClient && (message[8] & 0xf) == Cmd.TypeReply)
            {
                lock (_names)
                {
                    _names.Add(Thread.CurrentThread.Name);
                }
            }
        }

        public int RepliesReadBy(string thread)
        {
            lock (_names)
            {
                return _names.Count(name => name == thread);
            }
        }
    }
}
