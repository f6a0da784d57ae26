using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>
/// A host that works a disk with several commands at once until its power fails, and never with two at the same blocks, so that each sector's
/// versions have an order.
/// </summary>
internal sealed class PowerCutHost(PowerCutHistory history, Random random, int blockSize, PowerCutLie lie)
{
    private const int Pages = 8;
    private const int InFlight = 12;
    private const int Queues = 2;
    private const uint Fua = 1u << 30;

    private readonly int _sectorsPerBlock = blockSize / PowerCutBacking.Sector;
    private readonly Dictionary<(int Queue, int Id), Pending> _busy = [];
    private readonly List<Buffer> _free = [];

    public int Flushes { get; private set; }

    public int Forced { get; private set; }

    /// <summary>Works until the power has failed.</summary>
    public void Work(PowerCutBacking backing, bool drain)
    {
        using var rig = Open(backing, out NvmeHostQueue[] queues);
        while (!backing.IsDead)
        {
            if (_busy.Count < InFlight)
            {
                Submit(rig, queues[random.Next(Queues)]);
            }

            foreach (NvmeHostQueue queue in queues)
            {
                while (queue.CompletionRing.TryTake(out NvmeCompletion completion))
                {
                    Take(rig, backing, completion);
                }
            }

            if (!drain && random.Next(100) == 0)
            {
                backing.Cut();
            }
        }

        if (drain)
        {
            NvmeRig.WaitUntil(
                () =>
                {
                    foreach (NvmeHostQueue queue in queues)
                    {
                        while (queue.CompletionRing.TryTake(out NvmeCompletion completion))
                        {
                            Take(rig, backing, completion);
                        }
                    }

                    return _busy.Count == 0;
                },
                "commands are not completed after the power has failed");
        }

        _busy.Clear();
        _free.Clear();
    }

    /// <summary>Reads everything after the power came back.</summary>
    /// <returns>What is wrong, or null.</returns>
    public string? Verify(PowerCutBacking backing)
    {
        using var rig = Open(backing, out NvmeHostQueue[] queues);
        string? wrong = null;
        int blocks = history.Sectors / _sectorsPerBlock;
        int step = Pages * NvmeRig.Page / blockSize;
        Buffer buffer = _free[0];
        for (int block = 0; block < blocks; block += step)
        {
            queues[0].Ok(Command(NvmeIoOpcode.Read, block, step, buffer));
            Span<byte> data = rig.At(buffer.Data, step * blockSize);
            for (int s = 0; s < step * _sectorsPerBlock; s++)
            {
                wrong ??= history.CheckAfterCut((block * _sectorsPerBlock) + s, data.Slice(s * PowerCutBacking.Sector, PowerCutBacking.Sector));
            }
        }

        _free.Clear();
        return wrong;
    }

    private NvmeRig Open(PowerCutBacking backing, out NvmeHostQueue[] queues)
    {
        var rig = new NvmeRig(new NvmeOptions { BlockSize = blockSize }, backing);
        rig.Enable();
        queues = [rig.CreatePair(1), rig.CreatePair(2)];
        for (int i = 0; i < InFlight; i++)
        {
            var buffer = new Buffer(rig.Pages(Pages), rig.Pages());
            for (int page = 1; page < Pages; page++)
            {
                rig.Ref<ulong>(buffer.List + (ulong)((page - 1) * sizeof(ulong))) = buffer.Data + (ulong)(page * NvmeRig.Page);
            }

            _free.Add(buffer);
        }

        return rig;
    }

    private NvmeCommand Command(NvmeIoOpcode opcode, int block, int count, Buffer buffer)
    {
        int length = count * blockSize;
        return NvmeRig.Io(opcode, (ulong)block, count, buffer.Data, length <= 2 * NvmeRig.Page ? buffer.Data + NvmeRig.Page : buffer.List);
    }

    private void Submit(NvmeRig rig, NvmeHostQueue queue)
    {
        int kind = random.Next(100);
        if (kind < 12)
        {
            int[] snapshot = history.Snapshot(everythingIssued: lie == PowerCutLie.HostTrustsFlushTooMuch);
            Add(queue, new NvmeCommand { NamespaceId = 1 }, new Pending(NvmeIoOpcode.Flush, 0, 0, 0, false, snapshot, null));
            return;
        }

        int blocks = history.Sectors / _sectorsPerBlock;
        int count = random.Next(1, (Pages * NvmeRig.Page / blockSize) + 1);
        count = random.Next(3) == 0 ? count : 1;
        int block = random.Next(blocks - count + 1);
        (int first, int sectors) = (block * _sectorsPerBlock, count * _sectorsPerBlock);
        if (_busy.Values.Any(w => w.First < first + sectors && first < w.First + w.Sectors))
        {
            return;
        }

        bool forced = random.Next(4) == 0;
        Buffer buffer = _free[^1];
        _free.RemoveAt(_free.Count - 1);
        NvmeIoOpcode opcode = kind < 30 ? NvmeIoOpcode.Read : kind < 40 ? NvmeIoOpcode.WriteZeroes : NvmeIoOpcode.Write;
        Span<byte> data = rig.At(buffer.Data, count * blockSize);
        int version = opcode == NvmeIoOpcode.Read ? 0 : history.Issue(first, sectors, opcode == NvmeIoOpcode.Write ? data : default);
        NvmeCommand command = Command(opcode, block, count, buffer);
        command.Cdw12 |= forced ? Fua : 0;
        Add(queue, command, new Pending(opcode, first, sectors, version, forced, null, buffer));
    }

    private void Add(NvmeHostQueue queue, NvmeCommand command, Pending work)
    {
        ushort id = queue.Submit(command);
        _busy.Add((queue.Id, id), work);
    }

    private void Take(NvmeRig rig, PowerCutBacking backing, NvmeCompletion completion)
    {
        Assert.True(_busy.Remove((completion.SubmissionQueueId, completion.CommandId), out Pending? work), "a completion of no command");
        if (work.Buffer is { } buffer)
        {
            _free.Add(buffer);
        }

        if (completion.Status != NvmeStatus.Success)
        {
            Assert.True(backing.IsDead, $"{work.Opcode} failed with {completion.Status}");
            return;
        }

        switch (work.Opcode)
        {
            case NvmeIoOpcode.Flush:
                Flushes++;
                history.Flushed(work.Snapshot!);
                break;
            case NvmeIoOpcode.Read:
                for (int s = 0; s < work.Sectors; s++)
                {
                    Assert.Null(history.CheckNewest(work.First + s, rig.At(work.Buffer!.Data + (ulong)(s * PowerCutBacking.Sector), PowerCutBacking.Sector)));
                }

                break;
            default:
                Forced += work.Forced ? 1 : 0;
                history.Complete(work.First, work.Sectors, work.Version, work.Forced || lie == PowerCutLie.HostTrustsWrites);
                break;
        }
    }

    private sealed record Buffer(ulong Data, ulong List);

    private sealed record Pending(NvmeIoOpcode Opcode, int First, int Sectors, int Version, bool Forced, int[]? Snapshot, Buffer? Buffer);
}
