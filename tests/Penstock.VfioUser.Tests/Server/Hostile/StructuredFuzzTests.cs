using System.Diagnostics;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;
using Penstock.Pci;
using Xunit.Abstractions;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>
/// 100,000 structured-random messages against sessions with devices of several kinds, sent in heaps, with descriptors of any kind, and with wrong, late
/// and missing replies to the server's own commands. <c>PENSTOCK_FUZZ_MESSAGES</c> sets another number.
/// </summary>
public sealed class StructuredFuzzTests(ITestOutputHelper output)
{
    private const int Seeds = 5;
    private const int DefaultMessages = 100_000;
    private const int SessionMessages = 2000;
    private const int Heap = 24;
    private const long MostGrowth = 256L << 20;

    // Well above what a busy machine may take a thread's turn away.
    private static readonly TimeSpan PeerTimeout = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void RandomMessages_AgainstASession_AreEachAnsweredOnceAndNothingStays(int seed)
    {
        string? wanted = Environment.GetEnvironmentVariable("PENSTOCK_FUZZ_MESSAGES");
        long messages = (wanted is null ? DefaultMessages : long.Parse(wanted, CultureInfo.InvariantCulture)) / Seeds;
        var random = new Random(1000 + seed);
        using var files = new HostileFiles();
        IPciFunction function = seed switch
        {
            0 => new WireFunction(),
            1 => new MovableFunction(),
            2 => new MappableFunction(),
            3 => new BellFunction(),
            _ => new BusyFunction(),
        };
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = PeerTimeout, Guard = random.Next(2) == 0 }, function: function);
        long sent = 0;
        long sessions = 0;
        long before = 0;
        while (sent < messages)
        {
            sent += Session(served, random, files, Math.Min(SessionMessages, messages - sent));
            sessions++;
            before = sessions == 5 ? Environment.WorkingSet : before;
        }

        if (function is BusyFunction busy)
        {
            output.WriteLine($"{busy.Transfers} transfers, {busy.Failed} failed");
            Assert.True(busy.Failed > 0 && busy.Transfers - busy.Failed > messages / 400, "the device has hardly worked");
        }

        output.WriteLine($"seed {seed}: {sent} messages, {sessions} sessions, working set {before >> 20} MiB after 5 sessions, {Environment.WorkingSet >> 20} MiB at the end");
        if (wanted is not null)
        {
            Assert.InRange(Environment.WorkingSet - before, long.MinValue, MostGrowth);
        }

        using WireClient last = served.ConnectEnabled();
        last.AssertAlive();
    }

    private static long Session(ServedFunction served, Random random, HostileFiles files, long messages)
    {
        long sent = 0;
        using (WireClient client = served.ConnectRaw())
        {
            using IDisposable? twin = Negotiate(client, random);
            client.EnableDevice();
            client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x4_0000));
            var source = new RandomMessages(random);
            try
            {
                while (sent < messages && SendHeap(client, random, source, files, ref sent))
                {
                }
            }
            catch (Exception e) when (e is SystemCallException or System.Net.Sockets.SocketException or Xunit.Sdk.XunitException)
            {
                throw new InvalidOperationException($"the session: {served.NextEnd()}", e);
            }
        }

        SessionEnd end = served.NextEnd();
        Assert.NotEqual(SessionEndKind.Fault, end.Kind);
        served.AssertBalanced();
        Assert.DoesNotContain(served.Log, static line => line.Contains("fault", StringComparison.Ordinal));
        served.Log.Clear();
        return sent;
    }

    /// <summary>Every third session has a socket of its own for the server's commands, on which a thread answers.</summary>
    private static TwinAnswers? Negotiate(WireClient client, Random random)
    {
        bool wantsTwin = random.Next(3) == 0;
        string json = wantsTwin
            ? """{"capabilities":{"max_msg_fds":16,"write_multiple":true,"sparse_mmap_fds":true,"migration":{},"twin_socket":{"supported":true}}}"""
            : WireClient.QemuJson;
        client.Call(Cmd.Version, WireClient.Version(1, json), out SafeFileHandle[] files);
        Assert.Equal(wantsTwin ? 1 : 0, files.Length);
        return wantsTwin ? new TwinAnswers(WireClient.Over(files[0]), new Random(random.Next())) : null;
    }

    /// <summary>Sends some messages without looking, then takes the replies; false when one of them has ended the session, as it must.</summary>
    private static bool SendHeap(WireClient client, Random random, RandomMessages source, HostileFiles files, ref long sent)
    {
        var expected = new Queue<(ushort Id, ushort Command)>();
        bool sound = true;
        if (random.Next(2) == 0)
        {
            // What the noise has switched off comes on again, and the device, if it is one that does DMA, has something to do.
            foreach ((ushort command, byte[] body) in Work(random))
            {
                ushort id = (ushort)(sent++ & 0x7fff);
                client.SendBytes(WireClient.Message(id, command, body));
                expected.Enqueue((id, command));
            }
        }

        for (int i = random.Next(1, Heap); i > 0 && sound; i--)
        {
            ushort id = (ushort)(sent++ & 0x7fff);
            byte[] message = source.Next(id, out sound);
            int[] descriptors = random.Next(5) != 0 ? [] : [.. Enumerable.Range(0, random.Next(8) == 0 ? random.Next(20) : 1).Select(_ => files.Any(random))];
            var sending = new WireMessage(message);
            client.SendBytes(message, descriptors);
            bool isReply = sound && (sending.Flags & 0xf) == Cmd.TypeReply;
            if ((sending.Flags & Cmd.NoReply) == 0 && !isReply)
            {
                expected.Enqueue((sending.Id, sending.Command));
            }
        }

        if (sound)
        {
            const ushort Sentinel = 0xffff;
            client.SendBytes(WireClient.Message(Sentinel, Cmd.GetInfo, new Payload().U32(16, 0, 0, 0)));
            expected.Enqueue((Sentinel, Cmd.GetInfo));
        }

        TakeReplies(client, random, expected);
        if (!sound)
        {
            AwaitClose(client, random);
        }

        return sound;
    }

    private static IEnumerable<(ushort Command, byte[] Body)> Work(Random random)
    {
        yield return (Cmd.DmaUnmap, WireClient.Unmap(0, 0, 2));
        yield return (Cmd.DmaMap, WireClient.Map(0, 0x4_0000));
        yield return (Cmd.RegionWrite, [.. WireClient.Access(4, Cmd.ConfigRegion, 2), 7, 0]);
        for (int i = 0; i < 4; i++)
        {
            yield return (Cmd.RegionWrite, [.. WireClient.Access((ulong)random.Next(3) * 8, 0, 1), (byte)random.Next(64)]);
        }
    }

    private static void TakeReplies(WireClient client, Random random, Queue<(ushort Id, ushort Command)> expected)
    {
        while (expected.Count != 0)
        {
            WireMessage message = client.Receive();
            if (message.IsCommand)
            {
                AnswerSomehow(client, random, message);
                continue;
            }

            // Strictly in order: whatever came too much or is missing shows here.
            Assert.Equal(expected.Dequeue(), (message.Id, message.Command));
            Assert.Equal(Cmd.TypeReply, message.Flags & 0xf);
            Assert.Equal((message.Flags & Cmd.ErrorFlag) != 0, message.Error != 0);
        }
    }

    /// <summary>The server's own commands may still be on their way when it closes.</summary>
    private static void AwaitClose(WireClient client, Random random)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20))
        {
            try
            {
                WireMessage message = client.Receive();
                Assert.True(message.IsCommand);
                AnswerSomehow(client, random, message);
            }
            catch (Exception closed) when (closed is Xunit.Sdk.TrueException or System.Net.Sockets.SocketException or SystemCallException)
            {
                return;
            }
        }

        Assert.Fail("the server did not close the connection");
    }

    private static void AnswerSomehow(WireClient client, Random random, WireMessage command)
    {
        try
        {
            Answer(client, random, command);
        }
        catch (SystemCallException gone) when (gone.Errno == Errno.EPIPE)
        {
            // Whether the server may have closed is for whoever receives next.
        }
    }

    private static void Answer(WireClient client, Random random, WireMessage command)
    {
        Assert.Contains(command.Command, new[] { Cmd.DmaRead, Cmd.DmaWrite });
        byte[] head = command.Body[..16];
        byte[] data = command.Command == Cmd.DmaRead ? new byte[command.U64(8)] : [];
        byte[] answer = [.. head, .. data];
        if (random.Next(1000) == 0)
        {
            // None at all: whoever waits for it on the strand waits until the end of the session.
            return;
        }

        switch (random.Next(50))
        {
            case 1:
                answer[random.Next(16)] ^= (byte)(1 << random.Next(8));
                break;
            case 2:
                answer = answer[..random.Next(answer.Length)];
                break;
            case 3:
                client.Answer(command, answer);
                break;
            case 4:
                client.Answer(command, [], Cmd.TypeReply | Cmd.ErrorFlag, (uint)random.Next(5000));
                return;
            default:
                break;
        }

        client.Answer(command, answer);
    }

    private sealed class TwinAnswers : IDisposable
    {
        private readonly WireClient _twin;
        private readonly Thread _thread;

        public TwinAnswers(WireClient twin, Random random)
        {
            _twin = twin;
            _thread = new Thread(() =>
            {
                try
                {
                    while (true)
                    {
                        AnswerSomehow(twin, random, twin.Receive());
                    }
                }
                catch (Exception)
                {
                    // The session has ended.
                }
            })
            { IsBackground = true };
            _thread.Start();
        }

        public void Dispose()
        {
            _twin.Shutdown();
            _thread.Join();
            _twin.Dispose();
        }
    }
}
