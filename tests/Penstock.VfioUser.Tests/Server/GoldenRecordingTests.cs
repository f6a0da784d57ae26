using System.Globalization;
using System.IO.Compression;
using Penstock.Devices;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>
/// What an unmodified QEMU 11 said to an IDIO-16 card, kept byte for byte, is said again to a fresh server: start, the guest's driver and
/// shutdown, one with shared memory and a machine reset in between, one with memory that is reached by messages.
/// </summary>
public sealed class GoldenRecordingTests
{
    private const string Shared = "idio16-shared-memory-reset";
    private const string Messages = "idio16-message-memory";

    [Theory]
    [InlineData(Shared)]
    [InlineData(Messages)]
    public void Replay_EveryReplyIsTheRecordedOneInOrder(string name)
    {
        using var served = new ServedFunction(function: new Idio16Function());
        using var recorder = new Recorder();
        using (var client = WireClient.Raw(served.Path))
        {
            int replies = 0;
            foreach (Line line in Load(name))
            {
                if (line.FromClient)
                {
                    client.SendBytes(line.Message.Bytes, recorder.DescriptorsFor(line));
                }
                else
                {
                    Assert.Equal(line.Message.Bytes, client.Receive().Bytes);
                    replies++;
                }
            }

            Assert.True(replies > 100);
            Assert.False(client.HasInput);
        }

        Assert.Equal(SessionEndKind.ClientClosed, served.NextEnd().Kind);
        served.AssertBalanced();
    }

    [Theory]
    [InlineData(Shared)]
    [InlineData(Messages)]
    public void Replay_AllCommandsAtOnce_AreAnsweredInOrder(string name)
    {
        using var served = new ServedFunction(function: new Idio16Function());
        using var recorder = new Recorder();
        using WireClient client = WireClient.Raw(served.Path);
        List<Line> lines = Load(name);
        foreach (Line line in lines.Where(static l => l.FromClient))
        {
            client.SendBytes(line.Message.Bytes, recorder.DescriptorsFor(line));
        }

        foreach (Line line in lines.Where(static l => !l.FromClient))
        {
            Assert.Equal(line.Message.Bytes, client.Receive().Bytes);
        }
    }

    [Fact]
    public void Recordings_HoldWhatTheyAreKeptFor()
    {
        List<Line> shared = Load(Shared);
        Assert.Contains(shared, static l => l.Message.Command == Cmd.DmaMap && l.Descriptors == 1);

        // Before the first instruction, at the machine reset, and at the guest's own.
        Assert.True(shared.Count(static l => l.FromClient && l.Message.Command == Cmd.Reset) >= 2);
        int info = shared.FindIndex(static l => l.Message.Command == Cmd.GetInfo);
        Assert.Contains(shared.Take(info), static l => l.Message.Command == Cmd.DmaMap);
        List<Line> messages = Load(Messages);
        Assert.Contains(messages, static l => l.Message.Command == Cmd.DmaMap);
        Assert.DoesNotContain(messages, static l => l.Message.Command == Cmd.DmaMap && l.Descriptors != 0);
        Assert.DoesNotContain(shared.Concat(messages), static l => (l.Message.Flags & Cmd.ErrorFlag) != 0);
    }

    private static List<Line> Load(string name)
    {
        using FileStream file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Recordings", name + ".txt.gz"));
        using var text = new StreamReader(new GZipStream(file, CompressionMode.Decompress));
        var lines = new List<Line>();
        while (text.ReadLine() is string line)
        {
            string[] parts = line.Split(' ');
            lines.Add(new Line(parts[0] == ">", int.Parse(parts[1], CultureInfo.InvariantCulture), new WireMessage(Convert.FromHexString(parts[2]))));
        }

        return lines;
    }

    private sealed record Line(bool FromClient, int Descriptors, WireMessage Message);

    /// <summary>Stands in for what QEMU passed: memory of the needed size for a map, counters for interrupts.</summary>
    private sealed class Recorder : IDisposable
    {
        private readonly List<IDisposable> _passed = [];

        public int[] DescriptorsFor(Line line)
        {
            int[] numbers = new int[line.Descriptors];
            for (int i = 0; i < numbers.Length; i++)
            {
                if (line.Message.Command == Cmd.DmaMap)
                {
                    MemoryFile memory = Handles.Memory(line.Message.U64(8) + line.Message.U64(24));
                    _passed.Add(memory);
                    numbers[i] = memory.Number();
                }
                else
                {
                    var e = EventDescriptor.Create();
                    _passed.Add(e);
                    numbers[i] = e.Number();
                }
            }

            return numbers;
        }

        public void Dispose() => _passed.DisposeAll();
    }
}
