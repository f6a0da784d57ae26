using System.Buffers.Binary;

namespace Penstock.Interop.Tests.Sockets;

/// <summary>A peer that sends anything: the bytes are cut as a simple reader of the whole stream would, and no descriptor stays behind.</summary>
public sealed class ReceiverFuzzTests
{
    private const int Streams = 150;

    // Small, so that the receiver's buffer comes to its end in all positions.
    private static readonly FrameFormat Format = new(Frames.Header, 4, 3_000);

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    [InlineData(14)]
    public void Receive_AnyStreamInAnyPieces_GivesTheMessagesOfTheStreamAndKeepsNothing(int seed)
    {
        using var files = new PassedFiles(3);
        var random = new Random(seed);
        for (int i = 0; i < Streams; i++)
        {
            byte[] stream = MakeStream(random);
            List<Range> expected = Split(stream, out bool bad);
            PlayOne(random, files, stream, expected, bad, $"seed {seed}, stream {i}");
        }
    }

    private static byte[] MakeStream(Random random)
    {
        var stream = new List<byte>();
        int messages = random.Next(1, 200);
        for (int i = 0; i < messages; i++)
        {
            int size = random.Next(4) switch
            {
                0 => Frames.Header,
                1 => random.Next(Frames.Header, 60),
                2 => Format.MaximumLength,
                _ => random.Next(Frames.Header, Format.MaximumLength + 1),
            };
            uint? claimed = random.Next(150) == 0 ? (uint)random.NextInt64(1L << 32) : null;
            stream.AddRange(Frames.Make(size, random.Next(), claimed));
        }

        int cut = random.Next(3) == 0 ? random.Next(1, 10) : 0;
        return [.. stream.Take(stream.Count - cut)];
    }

    private static List<Range> Split(byte[] stream, out bool bad)
    {
        var messages = new List<Range>();
        int at = 0;
        bad = false;
        while (stream.Length - at >= Frames.Header)
        {
            uint size = BinaryPrimitives.ReadUInt32LittleEndian(stream.AsSpan(at + 4));
            if (size < Frames.Header || size > Format.MaximumLength)
            {
                bad = true;
                break;
            }

            if (size > stream.Length - at)
            {
                break;
            }

            messages.Add(at..(at + (int)size));
            at += (int)size;
        }

        return messages;
    }

    private static void PlayOne(Random random, PassedFiles files, byte[] stream, List<Range> expected, bool bad, string what)
    {
        var ledger = new ResourceLedger();
        (UnixSocket sender, UnixSocket socket) = UnixSocket.CreatePair();
        using (sender)
        using (socket)
        {
            using var receiver = new FramedReceiver(socket, Format, ledger);
            int got = 0;
            int sentDescriptors = 0;
            int gotDescriptors = 0;
            int done = 0;
            ReceiveStatus status;

            ReceiveStatus Next()
            {
                ReceiveStatus next = receiver.Receive(false, out Span<byte> bytes);
                gotDescriptors += receiver.DescriptorCount;
                if (next == ReceiveStatus.Message)
                {
                    Assert.True(got < expected.Count && bytes.SequenceEqual(stream.AsSpan(expected[got])), $"{what}: message {got}");
                    got++;
                }

                return next;
            }

            while (done < stream.Length)
            {
                int piece = Math.Min(random.Next(8) == 0 ? random.Next(1, 80_000) : random.Next(1, 2_000), stream.Length - done);
                int descriptors = random.Next(3) == 0 ? random.Next(1, 4) : 0;
                int sent = Libc.SendNow(sender.Descriptor, stream.AsSpan(done, piece), files.Numbers(0, descriptors));
                done += sent;
                sentDescriptors += sent > 0 ? descriptors : 0;
                if (sent == 0 || random.Next(3) == 0)
                {
                    int most = random.Next(1, 40);
                    while (most-- > 0 && (status = Next()) != ReceiveStatus.WouldBlock)
                    {
                        if (status != ReceiveStatus.Message)
                        {
                            Assert.True(status == ReceiveStatus.BadLength && bad && got == expected.Count, $"{what}: {status} at message {got}");
                            goto End;
                        }
                    }
                }
            }

            sender.Shutdown();
            while ((status = Next()) == ReceiveStatus.Message)
            {
            }

            int parsed = expected.Count == 0 ? 0 : expected[^1].End.Value;
            ReceiveStatus last = bad ? ReceiveStatus.BadLength : parsed == stream.Length ? ReceiveStatus.End : ReceiveStatus.Broken;
            Assert.True(status == last, $"{what}: {status} at the end, not {last}");
            Assert.True(got == expected.Count, $"{what}: {got} of {expected.Count} messages");
            if (status == ReceiveStatus.End)
            {
                Assert.True(gotDescriptors == sentDescriptors, $"{what}: {gotDescriptors} of {sentDescriptors} descriptors");
            }

        End:
            receiver.Dispose();
            Assert.Equal("nothing", ledger.ToString());
        }
    }
}
