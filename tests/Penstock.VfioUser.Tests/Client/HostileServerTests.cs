using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Xunit.Abstractions;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>
/// Servers that answer with structured nonsense. Whatever comes, the client throws nothing but its own errors, gives back all that it took, keeps
/// within bounds and touches nothing outside of what it has mapped. How many replies there are can be set by PENSTOCK_HOSTILE_REPLIES, and which
/// by PENSTOCK_HOSTILE_SEED.
/// </summary>
public sealed class HostileServerTests(ITestOutputHelper output)
{
    private const int UsualReplies = 100_000;
    private const int UsualSeed = 20261121;
    private const ulong Iova = 0x10_0000;
    private const int MapSize = 0x4000;

    [Fact]
    public void RandomReplies_AreErrorsAndNothingWorse()
    {
        int wanted = Setting("PENSTOCK_HOSTILE_REPLIES", UsualReplies);
        int seed = Setting("PENSTOCK_HOSTILE_SEED", UsualSeed);
        output.WriteLine($"{wanted} replies, seed {seed}");
        var random = new Random(seed);
        var ledger = new ResourceLedger();
        using MemoryFile file = Handles.Memory(0x4000);
        using var e = EventDescriptor.Create();
        int replies = 0;
        long start = GC.GetTotalMemory(forceFullCollection: true);
        long highest = 0;
        long longest = 0;
        int round = 0;
        while (replies < wanted)
        {
            (UnixSocket own, UnixSocket theirs) = UnixSocket.CreatePair();
            var server = new RandomServer(theirs, random.Next(), file, e);
            var thread = new Thread(server.Run) { IsBackground = true };
            thread.Start();
            Use(own, new Random(random.Next()), ledger, ref longest);
            Assert.True(thread.Join(TimeSpan.FromMinutes(2)), "the server hangs");
            Assert.Null(server.Fault);
            Assert.True(ledger.Total == 0, $"left behind: {ledger}");
            replies += server.Replies;
            if (++round % 256 == 0)
            {
                highest = Math.Max(highest, GC.GetTotalMemory(forceFullCollection: true));
            }
        }

        using var self = Process.GetCurrentProcess();
        output.WriteLine($"{replies} replies in {round} sessions; live managed memory {(highest - start) >> 20} MiB above the start; peak resident size of the process {self.PeakWorkingSet64 >> 20} MiB; longest call {longest} ms");
        Assert.True(highest - start < 256 << 20, $"{(highest - start) >> 20} MiB more than at the start");
        Assert.True(TimeSpan.FromMilliseconds(longest) < TimeSpan.FromMinutes(1), $"a call took {longest} ms");
    }

    private static int Setting(string name, int usual) => int.Parse(Environment.GetEnvironmentVariable(name) ?? $"{usual}", CultureInfo.InvariantCulture);

    private static void Use(UnixSocket socket, Random random, ResourceLedger ledger, ref long longest)
    {
        var memory = ProcessMemory.Allocate(3 * MapSize);
        var options = new VfioUserClientOptions { Ledger = ledger, ReplyTime = TimeSpan.FromMilliseconds(60), TwinSocket = random.Next(2) == 0 };
        try
        {
            using var client = VfioUserClient.Over(socket, options);

            // The middle of the memory may be written, the end only be read, the start is not offered at all.
            Call(client, c => c.MapDma(Iova, MapSize, DmaAccess.ReadWrite, memory, MapSize), ref longest);
            Call(client, c => c.MapDma(2 * Iova, MapSize, DmaAccess.Read, memory, 2 * MapSize), ref longest);
            for (int i = 0; i < 200 && client.Failure is null; i++)
            {
                int seed = random.Next();
                Call(client, c => Act(c, new Random(seed)), ref longest);
            }
        }
        catch (VfioException)
        {
            // The negotiation failed.
        }

        Assert.False(memory.Span(0, MapSize).ContainsAnyExcept((byte)0), "bytes in front of a mapping were written");
        Assert.False(memory.Span(2 * MapSize, MapSize).ContainsAnyExcept((byte)0), "a read-only mapping was written");
        memory.Release();
    }

    private static void Call(VfioUserClient client, Action<VfioUserClient> call, ref long longest)
    {
        long begun = Stopwatch.GetTimestamp();
        try
        {
            call(client);
        }
        catch (VfioException)
        {
            // As it should be.
        }

        longest = Math.Max(longest, (long)Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
    }

    private static void Act(VfioUserClient client, Random random)
    {
        byte[] data = new byte[random.Next(300)];
        switch (random.Next(16))
        {
            case 0:
                client.GetInfo();
                break;
            case 1 or 2:
                client.GetRegion((uint)random.Next(10)).Dispose();
                break;
            case 3:
                client.GetRegionIoFds((uint)random.Next(10)).Dispose();
                break;
            case 4:
                client.GetIrqInfo((uint)random.Next(6));
                break;
            case 5:
                using (var e = EventDescriptor.Create())
                {
                    client.SetIrqs((uint)random.Next(5), VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 20, [], [.. Enumerable.Repeat(e.Number(), 20)]);
                }

                break;
            case 6:
                client.Write((uint)random.Next(9), (ulong)random.Next(300), data, posted: random.Next(2) == 0);
                break;
            case 7:
                client.UnmapDma(Iova, MapSize, 4096);
                break;
            case 8:
                client.ReadMigrationData(data);
                break;
            case 9:
                client.WriteMigrationData(data);
                break;
            case 10:
                client.GetMigrationState();
                break;
            case 11:
                client.ReportDmaLogging(Iova, (ulong)random.Next(1, 1 << 24), 4096);
                break;
            case 12:
                client.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = MapSize }], 4096);
                break;
            case 13:
                client.WriteMultiple([new RegionWrite(0, 0, 4, 1), new RegionWrite(0, 4, 4, 1)]);
                break;
            default:
                client.Read((uint)random.Next(9), (ulong)random.Next(300), data);
                break;
        }
    }

    /// <summary>Answers mostly with what might be an answer, with a few bits turned, and now and then with something else.</summary>
    private sealed class RandomServer(UnixSocket socket, int seed, MemoryFile file, EventDescriptor e)
    {
        private readonly Random _random = new(seed);

        public int Replies { get; private set; }

        public Exception? Fault { get; private set; }

        public void Run()
        {
            try
            {
                using var receiver = new FramedReceiver(socket, new FrameFormat(16, 4, 2 * Cmd.Megabyte));
                while (receiver.Receive(wait: true, out Span<byte> message) == ReceiveStatus.Message && Answer(new WireMessage(message.ToArray())))
                {
                }
            }
            catch (SystemCallException gone) when (gone.Errno is Errno.EPIPE or Errno.ECONNRESET)
            {
                // The client had enough.
            }
            catch (Exception fault)
            {
                Fault = fault;
            }
            finally
            {
                socket.Dispose();
            }
        }

        /// <returns>False: this end has had enough.</returns>
        private bool Answer(WireMessage message)
        {
            if (!message.IsCommand || (message.Flags & Cmd.NoReply) != 0)
            {
                return true;
            }

            for (int n = _random.Next(12) == 0 ? _random.Next(1, 4) : 0; n > 0; n--)
            {
                Ask();
            }

            Replies++;
            int kind = _random.Next(1000);
            if (kind < 4)
            {
                return false;
            }

            if (kind == 4)
            {
                // No reply at all.
                return true;
            }

            byte[] body = Plausible(message);
            uint flags = kind < 60 ? Cmd.TypeReply | Cmd.ErrorFlag : Cmd.TypeReply;
            byte[] reply = WireClient.Message(message.Id, message.Command, body, flags, flags == Cmd.TypeReply ? 0 : (uint)_random.Next(5000));
            for (int n = kind < 500 ? _random.Next(4) : 0; n > 0; n--)
            {
                // Rarely in the header: nearly everything there ends the connection.
                int at = _random.Next(20) == 0 || reply.Length == 16 ? _random.Next(16) : _random.Next(16, reply.Length);
                reply[at] = _random.Next(3) switch
                {
                    0 => (byte)_random.Next(),
                    1 => byte.MaxValue,
                    _ => (byte)(reply[at] ^ (1 << _random.Next(8))),
                };
            }

            if (kind is > 100 and < 120)
            {
                reply = [.. reply[.._random.Next(16, reply.Length + 1)], .. new byte[_random.Next(20)]];
            }

            if (_random.Next(200) != 0)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(reply.AsSpan(4), (uint)reply.Length);
            }

            int[] descriptors = _random.Next(6) switch
            {
                0 => [file.Number()],
                1 => [e.Number(), file.Number()],
                2 => [.. Enumerable.Repeat(e.Number(), _random.Next(30))],
                _ => [],
            };
            socket.Send(reply, descriptors);
            return true;
        }

        private void Ask()
        {
            ulong iova = _random.Next(3) switch { 0 => Iova, 1 => 2 * Iova, _ => (ulong)_random.NextInt64() };
            iova += (ulong)_random.Next(-64, MapSize + 64);
            ulong count = _random.Next(20) == 0 ? (ulong)_random.NextInt64() : (ulong)_random.Next(400);
            bool write = _random.Next(2) == 0;
            byte[] data = write ? new byte[Math.Min(count, 400)] : [];
            data.AsSpan().Fill(0xcc);
            if (write && _random.Next(10) == 0)
            {
                data = [.. data, 1];
            }

            ushort command = _random.Next(30) == 0 ? (ushort)_random.Next(30) : write ? Cmd.DmaWrite : Cmd.DmaRead;
            socket.Send(WireClient.Message((ushort)_random.Next(), command, [.. new Payload().U64(iova, count).ToBytes(), .. data], _random.Next(20) == 0 ? Cmd.NoReply : 0));
        }

        private byte[] Plausible(WireMessage m) => m.Command switch
        {
            Cmd.Version => WireClient.Version(0, _random.Next(8) switch
            {
                0 => """{"capabilities":{"max_msg_fds":3,"max_data_xfer_size":100}}""",
                1 => """{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}""",
                _ => FakeServer.Json,
            }),
            Cmd.GetInfo => new Payload().U32(16, 3, 9, 5),
            Cmd.GetRegionInfo => Region(m),
            Cmd.GetRegionIoFds => _random.Next(3) switch
            {
                0 => new Payload().U32(16, 0, m.U32(8), 0),
                1 => new Payload().U32(56, 0, m.U32(8), 1).U64(0, 4).U32(0, 0, 0, 0).U64(1),
                _ => new Payload().U32(64, 0, m.U32(8), 1).U64(0, 4).U32(0, 2, 0, 0).U64(1, 2),
            },
            Cmd.GetIrqInfo => new Payload().U32(16, 1, m.U32(8), 5),
            Cmd.RegionRead => [.. m.Body, .. new byte[m.U32(12)]],
            Cmd.RegionWrite => m.Body[..16],
            Cmd.WriteMulti => new Payload().U64(m.U64(0)),
            Cmd.DmaUnmap => m.Body.Length == 24 ? m.Body : [.. m.Body, .. new byte[m.U64(32)]],
            Cmd.Feature when (m.U32(4) & 0xffff) == 8 => [.. m.Body, .. new byte[m.U32(0) - 32]],
            Cmd.Feature => m.Body,
            Cmd.MigRead => new Payload().U32(m.U32(0), m.U32(4)).Bytes(new byte[m.U32(4)]),
            _ => [],
        };

        private byte[] Region(WireMessage m)
        {
            Payload areas = _random.Next(2) == 0
                ? new Payload().U16(1, 1).U32(0, 2, 0).U64(0, 0x1000, 0x2000, 0x1000)
                : new Payload().U16(16, 1).U32(0, 1, 0).U64(0, 0, 0x1000).U32(0, 0);
            return _random.Next(3) == 0
                ? new Payload().U32(32, 3, m.U32(8), 0).U64(0x4000, 0)
                : [.. new Payload().U32(4096, 15, m.U32(8), 32).U64(0x4000, 0).ToBytes(), .. areas.ToBytes()];
        }
    }
}
