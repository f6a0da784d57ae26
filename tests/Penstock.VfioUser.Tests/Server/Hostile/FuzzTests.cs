using System.Buffers.Binary;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Random messages and mutations of good ones: the server answers or ends the session with a reason, and goes on.</summary>
public sealed class FuzzTests
{
    private const int MessagesPerSeed = 4_000;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [Trait("Row", "VU-F6")]
    public void RandomMessages_EachCommandHasOneReplyAndTheServerGoesOn(int seed)
    {
        var random = new Random(seed);
        using var served = new ServedFunction();
        using MemoryFile memory = Handles.Memory(0x10_0000);
        using var e = EventDescriptor.Create();
        int sent = 0;
        int sessions = 0;
        while (sent < MessagesPerSeed)
        {
            bool negotiated = random.Next(4) != 0;
            using (WireClient client = negotiated ? served.ConnectEnabled() : served.ConnectRaw())
            {
                for (int i = 0; i < 1000 && sent < MessagesPerSeed; i++, sent++)
                {
                    if (!Exchange(client, random, memory, e, ref negotiated))
                    {
                        break;
                    }
                }
            }

            SessionEnd end = served.NextEnd();
            Assert.NotEqual(SessionEndKind.Fault, end.Kind);
            Assert.NotEmpty(end.Reason);
            served.AssertBalanced();
            sessions++;
        }

        Assert.True(sessions > 1);
        Assert.DoesNotContain(served.Log, static line => line.Contains("fault", StringComparison.Ordinal));
        using WireClient last = served.ConnectEnabled();
        last.Write(0, 0, 1, 2, 3, 4);
        Assert.Equal([1, 2, 3, 4], last.Read(0, 0, 4));
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void RandomBytes_NeverEndTheServer(int seed)
    {
        var random = new Random(seed);
        using var served = new ServedFunction();
        byte[] noise = new byte[4096];
        for (int i = 0; i < 100; i++)
        {
            using (WireClient client = i % 2 == 0 ? served.ConnectRaw() : served.Connect())
            {
                random.NextBytes(noise);
                client.TrySendBytes(noise.AsSpan(0, random.Next(1, noise.Length)), out _);
            }

            Assert.NotEqual(SessionEndKind.Fault, served.NextEnd().Kind);
        }

        served.AssertBalanced();
        served.Connect().Dispose();
    }

    /// <summary>One message; false when it ended the session, as it then must.</summary>
    private static bool Exchange(WireClient client, Random random, MemoryFile memory, EventDescriptor e, ref bool negotiated)
    {
        byte[] message = Good(random);
        ushort id = (ushort)random.Next();
        BinaryPrimitives.WriteUInt16LittleEndian(message, id);
        for (int n = random.Next(4); n > 0; n--)
        {
            int at = random.Next(message.Length);
            message[at] = random.Next(3) switch
            {
                0 => (byte)random.Next(),
                1 => byte.MaxValue,
                _ => (byte)(message[at] ^ (1 << random.Next(8))),
            };
        }

        // The length mostly stays right, or nearly everything would only test the framing.
        bool sound = random.Next(500) != 0;
        if (sound)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), (uint)message.Length);
        }
        else
        {
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), random.Next(2) == 0 ? (uint)random.Next(16) : (uint)random.Next((1 << 20) + 33, int.MaxValue));
        }

        int[] descriptors = random.Next(8) switch
        {
            0 => [memory.Number()],
            1 => [e.Number()],
            2 => [.. Enumerable.Repeat(e.Number(), random.Next(20))],
            _ => [],
        };
        var sending = new WireMessage(message);
        client.SendBytes(message, descriptors);
        bool isReply = (sending.Flags & 0xf) == Cmd.TypeReply && sound;
        if ((sending.Flags & Cmd.NoReply) == 0 && !isReply)
        {
            client.ReceiveReply(sending.Id, sending.Command);
        }

        if (!sound)
        {
            client.AssertClosed();
            return false;
        }

        if (negotiated)
        {
            // Strictly the next message: whatever came too much or is missing shows here.
            client.AssertAlive();
            return true;
        }

        return negotiated = IsNegotiated(client, sending);
    }

    /// <summary>Whether the mutated VERSION was good enough; if not, the session has ended or ends now.</summary>
    private static bool IsNegotiated(WireClient client, WireMessage before)
    {
        try
        {
            ushort id = (ushort)(before.Id + 1);
            client.SendBytes(WireClient.Message(id, Cmd.GetIrqInfo, new Payload().U32(16, 0, 0, 0)));
            return client.ReceiveReply(id, Cmd.GetIrqInfo).Error == 0;
        }
        catch (Exception gone) when (gone is SystemCallException or Xunit.Sdk.XunitException or System.Net.Sockets.SocketException)
        {
            return false;
        }
    }

    private static byte[] Good(Random random)
    {
        ulong page = (ulong)random.Next(64) << 12;
        uint small = (uint)random.Next(12);
        (ushort command, byte[] body) = random.Next(13) switch
        {
            0 => (Cmd.Version, WireClient.Version(0, WireClient.QemuJson)),
            1 or 2 => (Cmd.DmaMap, WireClient.Map(page, 0x1000, (uint)random.Next(1, 16), page)),
            3 => (Cmd.DmaUnmap, WireClient.Unmap(page, 0x1000ul << random.Next(8), (uint)(random.Next(8) == 0 ? 2 : 0))),
            4 => (Cmd.GetInfo, (byte[])new Payload().U32(16, 0, 0, 0)),
            5 => (Cmd.GetRegionInfo, new Payload().U32(32, 0, small, 0).U64(0, 0)),
            6 => (Cmd.GetRegionIoFds, new Payload().U32(4096, 0, small, 0)),
            7 => (Cmd.GetIrqInfo, new Payload().U32(16, 0, small, 0)),
            8 => (Cmd.SetIrqs, WireClient.Irqs(1u << random.Next(3) | 8u << random.Next(3), (uint)random.Next(5), (uint)random.Next(4), (uint)random.Next(4))),
            9 => (Cmd.RegionRead, WireClient.Access((ulong)random.Next(300), small, (uint)random.Next(64))),
            10 => Write(random, small),
            11 => (Cmd.Reset, []),
            _ => ((ushort)random.Next(24), new byte[random.Next(64)]),
        };
        return WireClient.Message(0, command, body, random.Next(6) == 0 ? Cmd.NoReply : 0);
    }

    private static (ushort Command, byte[] Body) Write(Random random, uint region)
    {
        byte[] data = new byte[random.Next(64)];
        random.NextBytes(data);
        return (Cmd.RegionWrite, [.. WireClient.Access((ulong)random.Next(300), region, (uint)data.Length), .. data]);
    }
}
