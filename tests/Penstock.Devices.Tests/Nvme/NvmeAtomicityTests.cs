using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>
/// What AWUN 0 promises: for other commands a block is as it was before a write or after it. The backing under these tests makes nothing
/// but half a block at a time.
/// </summary>
public sealed class NvmeAtomicityTests : IDisposable
{
    private const int BlockSize = 512;
    private const int Blocks = 8;
    private const byte Before = 1;

    private readonly CheckedBacking _content = new(Blocks * BlockSize) { Blocks = true };
    private readonly HalvesBacking _backing;
    private readonly NvmeNamespace _disk;
    private readonly ManualResetEventSlim _isHalfway = new();
    private readonly ManualResetEventSlim _gate = new();
    private int _halves;

    public NvmeAtomicityTests()
    {
        _content.Content.AsSpan().Fill(Before);
        _backing = new HalvesBacking(_content);
        _disk = new NvmeNamespace(_backing, BlockSize, "S1");
    }

    public void Dispose()
    {
        _gate.Set();
        _isHalfway.Dispose();
        Assert.Equal(0, _content.Outside);
    }

    [Theory]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.Read)]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.Compare)]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.Write)]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.WriteZeroes)]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.DatasetManagement)]
    [InlineData(NvmeIoOpcode.Read, NvmeIoOpcode.Write)]
    [InlineData(NvmeIoOpcode.Read, NvmeIoOpcode.WriteZeroes)]
    [InlineData(NvmeIoOpcode.Read, NvmeIoOpcode.DatasetManagement)]
    [InlineData(NvmeIoOpcode.Compare, NvmeIoOpcode.Write)]
    [InlineData(NvmeIoOpcode.WriteZeroes, NvmeIoOpcode.Read)]
    [InlineData(NvmeIoOpcode.DatasetManagement, NvmeIoOpcode.Read)]
    public void Block_ThatACommandIsHalfwayThrough_IsForTheNextAsAfterIt(NvmeIoOpcode first, NvmeIoOpcode second)
    {
        StopFirstHalfway();
        byte after = After(first, Before, 2);
        byte last = After(second, after, 3);
        var one = new Actor(_disk, first, 5, first == NvmeIoOpcode.Compare ? Before : (byte)2);
        Assert.True(_isHalfway.Wait(NvmeRig.Patience), "the first does not begin");
        var two = new Actor(_disk, second, 5, second == NvmeIoOpcode.Compare ? after : (byte)3);
        NvmeRig.WaitUntil(() => two.IsDone || _disk.Ranges.Waiting == 1, "the second neither ends nor waits");
        _gate.Set();

        Assert.Equal((NvmeStatus.Success, NvmeStatus.Success), (one.Join(), two.Join()));
        Assert.Equal(last, Uniform(_content.Content.AsSpan(5 * BlockSize, BlockSize)));
        foreach ((Actor actor, byte found) in new[] { (one, Before), (two, after) })
        {
            if (actor.Opcode == NvmeIoOpcode.Read)
            {
                Assert.Equal(found, Uniform(actor.Data));
            }
        }
    }

    [Theory]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.Write, 4)]
    [InlineData(NvmeIoOpcode.Write, NvmeIoOpcode.Read, 6)]
    [InlineData(NvmeIoOpcode.Read, NvmeIoOpcode.Read, 5)]
    public void Command_WithNothingToFear_DoesNotWait(NvmeIoOpcode first, NvmeIoOpcode second, int block)
    {
        StopFirstHalfway();
        var one = new Actor(_disk, first, 5, 2);
        Assert.True(_isHalfway.Wait(NvmeRig.Patience), "the first does not begin");
        Assert.Equal(NvmeStatus.Success, new Actor(_disk, second, (ulong)block, 3).Join());
        Assert.False(one.IsDone);
        _gate.Set();
        Assert.Equal(NvmeStatus.Success, one.Join());
    }

    [Fact]
    public void TryBegin_WhileAnotherIsAtTheBlock_IsRefused()
    {
        StopFirstHalfway();
        var one = new Actor(_disk, NvmeIoOpcode.Write, 5, 2);
        Assert.True(_isHalfway.Wait(NvmeRig.Patience), "the first does not begin");
        Assert.Equal(NvmeStatus.Success, _disk.Plan(NvmeRig.Io(NvmeIoOpcode.Read, 4, 2, 0), 4096, false, out NvmeTransfer transfer));
        Assert.False(_disk.TryBegin(transfer, out _));
        _gate.Set();
        Assert.Equal(NvmeStatus.Success, one.Join());
        Assert.True(_disk.TryBegin(transfer, out int place));
        _disk.End(place);
    }

    [Fact]
    public void Commands_OfManyThreads_FindWholeBlocks()
    {
        const int Rounds = 2000;
        int torn = 0;
        using var start = new Barrier(4);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(i => new Thread(() =>
        {
            var random = new Random(i);
            byte[] data = new byte[Blocks * BlockSize];
            start.SignalAndWait();
            for (int round = 0; round < Rounds; round++)
            {
                NvmeIoOpcode opcode = random.Next(4) switch { 0 => NvmeIoOpcode.WriteZeroes, 1 => NvmeIoOpcode.Write, _ => NvmeIoOpcode.Read };
                int count = random.Next(1, 4);
                _disk.Plan(NvmeRig.Io(opcode, (ulong)random.Next(4), count, 0), data.Length, false, out NvmeTransfer transfer);
                Span<byte> used = data.AsSpan(0, transfer.DataLength);
                used.Fill((byte)random.Next());
                NvmeStatus status = _disk.Execute(transfer, used);
                if (status != NvmeStatus.Success || (opcode == NvmeIoOpcode.Read && !AreWhole(used)))
                {
                    Interlocked.Increment(ref torn);
                }
            }
        }) { IsBackground = true })];
        Array.ForEach(threads, t => t.Start());
        Assert.All(threads, t => Assert.True(t.Join(NvmeRig.Patience), "a thread waits for ever"));
        Assert.Equal(0, torn);
        Assert.True(AreWhole(_content.Content));
    }

    /// <summary>
    /// Several queues at the same blocks: of a file, by workers; of memory, by the strand, and by workers where the host's memory has to be
    /// asked for by messages.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Commands_OfManyQueues_FindWholeBlocks(bool file)
    {
        const int Queues = 4;
        const int Depth = 16;
        const int Rounds = 40;
        using var folder = new TemporaryFolder();
        INvmeBacking inner = file
            ? FileNvmeBacking.Open(folder.File("disk.img"), createLength: 64 << 10)
            : new MemoryNvmeBacking(64 << 10);
        using var rig = new NvmeRig(null, new HalvesBacking(inner), map: false);
        const ulong Mapped = NvmeRig.MemorySize / 2;
        rig.Map(NvmeRig.Base, 0, Mapped);
        rig.Map(
            NvmeRig.Base + Mapped, Mapped, DmaAccess.ReadWrite, new MessageMemory(new NvmeChannel(rig), NvmeRig.Base + Mapped, Mapped));
        rig.Enable();
        NvmeHostQueue[] queues = [.. Enumerable.Range(1, Queues).Select(id => rig.CreatePair(id))];
        ulong near = rig.Pages(Queues * Depth);
        ulong far = NvmeRig.Base + Mapped;
        var random = new Random(1);
        for (int round = 0; round < Rounds; round++)
        {
            var reads = new List<(ulong Address, int Length)>();
            for (int i = 0; i < Queues * Depth; i++)
            {
                bool writes = random.Next(2) == 0;
                int count = random.Next(1, Blocks + 1);
                ulong page = (random.Next(2) == 0 ? near : far) + ((ulong)i * NvmeRig.Page);
                rig.At(page, NvmeRig.Page).Fill((byte)random.Next());
                queues[i % Queues].Put(NvmeRig.Io(writes ? NvmeIoOpcode.Write : NvmeIoOpcode.Read, (ulong)random.Next(4), count, page));
                if (!writes)
                {
                    reads.Add((page, count * BlockSize));
                }
            }

            Array.ForEach(queues, q => q.Ring());
            for (int i = 0; i < Queues * Depth; i++)
            {
                Assert.Equal(NvmeStatus.Success, queues[i % Queues].CompletionRing.Take().Status);
            }

            Assert.All(reads, r => Assert.True(AreWhole(rig.At(r.Address, r.Length)), $"torn in round {round}"));
        }
    }

    private static byte After(NvmeIoOpcode opcode, byte before, byte written) => opcode switch
    {
        NvmeIoOpcode.Write => written,
        NvmeIoOpcode.WriteZeroes or NvmeIoOpcode.DatasetManagement => 0,
        _ => before,
    };

    private static byte Uniform(ReadOnlySpan<byte> block)
    {
        Assert.Equal(-1, block.IndexOfAnyExcept(block[0]));
        return block[0];
    }

    private static bool AreWhole(ReadOnlySpan<byte> blocks)
    {
        for (int at = 0; at < blocks.Length; at += BlockSize)
        {
            if (blocks.Slice(at, BlockSize).ContainsAnyExcept(blocks[at]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The first access that has done half a block waits for the gate.</summary>
    private void StopFirstHalfway() => _backing.Between = () =>
    {
        if (Interlocked.Increment(ref _halves) == 1)
        {
            _isHalfway.Set();
            _gate.Wait(NvmeRig.Patience);
        }
    };

    /// <summary>A command at one block, on a thread of its own.</summary>
    private sealed class Actor
    {
        private readonly Thread _thread;
        private NvmeStatus _status = NvmeStatus.InternalError;

        internal Actor(NvmeNamespace disk, NvmeIoOpcode opcode, ulong block, byte value)
        {
            Opcode = opcode;
            NvmeCommand command = NvmeRig.Io(opcode, block, 1, 0);
            Data = new byte[opcode == NvmeIoOpcode.WriteZeroes ? 0 : BlockSize];
            Data.AsSpan().Fill(value);
            if (opcode == NvmeIoOpcode.DatasetManagement)
            {
                command = new NvmeCommand { Opcode = (byte)opcode, NamespaceId = 1, Cdw11 = NvmeDatasetManagement.Deallocate };
                Data = MemoryMarshal.AsBytes([new NvmeDatasetRange { StartingLba = block, Blocks = 1 }]).ToArray();
            }

            Assert.Equal(NvmeStatus.Success, disk.Plan(command, BlockSize, false, out NvmeTransfer transfer));
            _thread = new Thread(() => _status = disk.Execute(transfer, Data)) { IsBackground = true };
            _thread.Start();
        }

        internal NvmeIoOpcode Opcode { get; }

        internal byte[] Data { get; }

        internal bool IsDone => !_thread.IsAlive;

        internal NvmeStatus Join()
        {
            Assert.True(_thread.Join(NvmeRig.Patience), "a command waits for ever");
            return _status;
        }
    }
}
