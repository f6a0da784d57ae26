using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Makes admin commands and says what may come of each. Keeps in mind which queues there are.</summary>
internal sealed class HostileAdmin(HostileMemory memory, HostileModel model, Random random, ulong queuePage, int ioQueues, int maxEntries)
{
    /// <summary>The slot whose memory admin commands use.</summary>
    public const int Slot = 0;

    /// <summary>Queues up to this one belong to the I/O commands.</summary>
    private const int Busy = 2;
    private const int LastSpare = 5;

    private readonly HashSet<uint> _submissions = [1, 2];
    private readonly Dictionary<uint, int> _completions = new() { [1] = 1, [2] = 1 };
    private readonly Dictionary<uint, uint> _completionOf = [];

    public HostileCommand Next()
    {
        byte opcode = random.Next(8) == 0 ? (byte)random.Next(256) : (byte)(new[] { 0, 1, 2, 2, 4, 5, 6, 6, 8, 9, 9, 10, 10, 0x18, 0x7c })[random.Next(15)];
        var c = new NvmeCommand
        {
            Opcode = opcode == 12 ? (byte)0x18 : opcode,
            Flags = (NvmeCommandFlags)(random.Next(25) == 0 ? random.Next(256) : 0),
            NamespaceId = (uint)(new[] { 0, 0, 1, 1, 1, -1, 2, random.Next() })[random.Next(8)],
            Prp1 = memory.PageOf(Slot, random.Next(HostileMemory.PagesOfSlot)) + (random.Next(6) == 0 ? (ulong)random.Next(HostileMemory.Page) : 0),
            Prp2 = random.Next(4) == 0 ? (ulong)random.NextInt64() : memory.PageOf(Slot, random.Next(HostileMemory.PagesOfSlot)),
        };
        Fill(ref c);
        var hostile = new HostileCommand { Command = c, Slot = Slot };
        Judge(hostile);
        return hostile;
    }

    /// <summary>What was answered; a queue may be there or gone now.</summary>
    public void Answered(HostileCommand command, NvmeStatus status)
    {
        NvmeCommand c = command.Command;
        uint id = c.Cdw10 & 0xffff;
        if (status != NvmeStatus.Success)
        {
            return;
        }

        switch (c.Opcode)
        {
            case 0:
                _submissions.Remove(id);
                _completionOf.Remove(id, out uint used);
                _completions[used]--;
                break;
            case 1:
                _submissions.Add(id);
                _completionOf[id] = c.Cdw11 >> 16;
                _completions[c.Cdw11 >> 16]++;
                break;
            case 4:
                _completions.Remove(id);
                break;
            case 5:
                _completions[id] = 0;
                break;
        }
    }

    private void Fill(ref NvmeCommand c)
    {
        switch (c.Opcode)
        {
            case 0:
            case 4:
                c.Cdw10 = c.Opcode == 0 ? (uint)OneOf(0, 3, 4, 5, 5, 6, 64, 65, 1000, 65535) : (uint)OneOf(0, 1, 2, 3, 4, 5, 6, 65535);
                break;
            case 1:
            case 5:
                c.Cdw10 = (uint)OneOf(0, 1, 3, 4, 5, 6000, 65535) | ((uint)OneOf(0, 1, 15, 63, maxEntries - 1, maxEntries, 65535) << 16);
                c.Cdw11 = (random.Next(8) == 0 ? 0 : 1u) | (c.Opcode == 1 ? (uint)OneOf(0, 1, 3, 4, 5, 200, 65535) << 16 : (uint)OneOf(0, 0, 1, 64, 2048, 65535) << 16);
                c.Prp1 = OneOf(0, 0, 0, 1, 2) switch { 0 => queuePage, 1 => queuePage + 8, _ => (ulong)random.NextInt64() & ~0xffful };
                break;
            case 2:
                c.Cdw10 = (uint)(OneOf(0, 1, 2, 3, 4, 5, 6, 200) | (random.Next(2) << 15) | (random.Next(random.Next(4) == 0 ? 40_000 : 2048) << 16));
                c.Cdw11 = random.Next(20) == 0 ? (uint)random.Next() : 0;
                c.Cdw12 = random.Next(3) == 0 ? (uint)random.Next(5000) : random.Next(6) == 0 ? (uint)random.Next() : 0;
                c.Cdw13 = random.Next(20) == 0 ? (uint)random.Next() : 0;
                break;
            case 6:
                c.Cdw10 = (uint)(OneOf(0, 1, 2, 3, 5, 6, 7, 8, 0x10, 0x12, 0x13, 0xff) | (random.Next(3) << 16));
                c.Cdw11 = random.Next(5) == 0 ? (uint)random.Next() : 0;
                break;
            case 8:
                c.Cdw10 = (uint)random.Next(1, 65536) | 0xf0000000;
                break;
            case 9:
            case 10:
                c.Cdw10 = (uint)OneOf(0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15, 22, 129) | (random.Next(3) == 0 ? (uint)random.Next(8) << 8 : 0) | (random.Next(8) == 0 ? 1u << 31 : 0);
                c.Cdw11 = random.Next(2) == 0 ? (uint)random.Next(70) : (uint)random.Next();
                break;
            case 0x7c:
                // The right one would take the doorbells away from the test.
                c.Prp1 = queuePage;
                c.Prp2 = random.Next(2) == 0 ? queuePage : queuePage + (ulong)(4 * random.Next(1, 1000));
                break;
        }
    }

    private int OneOf(params int[] values) => values[random.Next(values.Length)];

    private void Judge(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        HashSet<NvmeStatus> wrong = command.Wrong;
        if (((int)c.Flags & 0xc3) != 0)
        {
            wrong.Add(NvmeStatus.InvalidField);
        }

        switch (c.Opcode)
        {
            case 0 or 4:
                JudgeDeletion(c, wrong);
                break;
            case 1 or 5:
                JudgeCreation(c, wrong);
                break;
            case 2:
                JudgeLog(command);
                break;
            case 6:
                JudgeIdentify(command);
                break;
            case 8 or 0x18:
                break;
            case 9:
                JudgeSet(command);
                break;
            case 10:
                JudgeGet(command);
                break;
            case 0x7c:
                wrong.Add(NvmeStatus.InvalidField);
                break;
            default:
                wrong.Add(NvmeStatus.InvalidOpcode);
                break;
        }
    }

    private void JudgeDeletion(in NvmeCommand c, HashSet<NvmeStatus> wrong)
    {
        uint id = c.Cdw10 & 0xffff;
        if (c.Opcode == 0 ? !_submissions.Contains(id) : !_completions.ContainsKey(id))
        {
            wrong.Add(NvmeStatus.InvalidQueueId);
        }
        else if (c.Opcode == 4 && _completions[id] != 0)
        {
            wrong.Add(NvmeStatus.InvalidQueueDeletion);
        }
    }

    private void JudgeCreation(in NvmeCommand c, HashSet<NvmeStatus> wrong)
    {
        uint id = c.Cdw10 & 0xffff;
        uint entries = (c.Cdw10 >> 16) + 1;
        uint other = c.Cdw11 >> 16;
        Note(id == 0 || id > ioQueues || (c.Opcode == 1 ? _submissions.Contains(id) : _completions.ContainsKey(id)), NvmeStatus.InvalidQueueId);
        Note(entries < 2 || entries > maxEntries, NvmeStatus.InvalidQueueSize);
        Note(c.Opcode == 1 && (other == 0 || other > ioQueues), NvmeStatus.InvalidQueueId);
        Note(c.Opcode == 1 && other != 0 && other <= ioQueues && !_completions.ContainsKey(other), NvmeStatus.InvalidCompletionQueue);
        Note(c.Opcode == 5 && other > ioQueues, NvmeStatus.InvalidInterruptVector);
        Note((c.Cdw11 & 1) == 0, NvmeStatus.InvalidField);
        Note(c.Prp1 % HostileMemory.Page != 0, NvmeStatus.InvalidPrpOffset);
        Note(memory.AccessTo(c.Prp1) is null, NvmeStatus.DataTransferError);

        void Note(bool isWrong, NvmeStatus status)
        {
            if (isWrong)
            {
                wrong.Add(status);
            }
        }
    }

    private void JudgeLog(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        int size = (c.Cdw10 & 0xff) switch { 0 => 1024, 1 or 4 or 5 => 4096, 2 or 3 => 512, _ => 0 };
        ulong offset = c.Cdw12 | ((ulong)c.Cdw13 << 32);
        ulong length = (((c.Cdw11 & 0xffff) << 16) + (c.Cdw10 >> 16) + 1ul) * 4;
        if (size == 0)
        {
            command.Wrong.Add(NvmeStatus.InvalidLogPage);
        }
        else if (offset % 4 != 0 || offset > (ulong)size || length > HostileModel.MaxTransfer)
        {
            command.Wrong.Add(NvmeStatus.InvalidField);
        }

        if (c.NamespaceId is not (0 or uint.MaxValue))
        {
            command.Wrong.Add(c.NamespaceId == 1 ? NvmeStatus.InvalidField : NvmeStatus.InvalidNamespace);
        }

        if (command.Wrong.Count == 0)
        {
            model.JudgePrps(command, (int)length, toHost: true);
        }
    }

    private void JudgeIdentify(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        uint cns = c.Cdw10 & 0xff;
        bool otherSet = c.Cdw11 >> 24 != 0;
        switch (cns)
        {
            case 0 or 3 or 0x12 when c.NamespaceId != 1:
            case 5 when c.NamespaceId != 1 && !otherSet:
            case 2 when c.NamespaceId >= 0xfffffffe:
            case 7 when c.NamespaceId >= 0xfffffffe && !otherSet:
                command.Wrong.Add(NvmeStatus.InvalidNamespace);
                break;
            case 5 or 6 or 7 when otherSet:
            case 8 or 0x10 or 0xff:
                command.Wrong.Add(NvmeStatus.InvalidField);
                break;
        }

        if (command.Wrong.Count == 0)
        {
            model.JudgePrps(command, 4096, toHost: true);
        }
    }

    private void JudgeSet(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        uint feature = c.Cdw10 & 0xff;
        uint v = c.Cdw11;
        if (JudgeFeature(command, feature))
        {
            return;
        }

        Note((c.Cdw10 & (1u << 31)) != 0, NvmeStatus.FeatureNotSaveable);
        Note(c.NamespaceId == 1 && feature != 5, NvmeStatus.FeatureNotNamespaceSpecific);
        Note(feature == 7, NvmeStatus.CommandSequenceError);
        bool wrongValue = feature switch
        {
            2 => v % 32 != 0,
            4 => ((v >> 16) & 15) is not (0 or 15) || ((v >> 20) & 3) > 1,
            5 => (v & 0x10000) != 0,
            9 => (v & 0xffff) > ioQueues,
            15 => v != 0,
            _ => false,
        };
        Note(wrongValue, NvmeStatus.InvalidField);
        if (feature == 22)
        {
            model.JudgePrps(command, 512, toHost: false);
            Note(command.Wrong.Count == 0 && memory.Expected(command.Segments[0].Address, 1)[0] > 1, NvmeStatus.InvalidField);
        }

        void Note(bool isWrong, NvmeStatus status)
        {
            if (isWrong)
            {
                command.Wrong.Add(status);
            }
        }
    }

    private void JudgeGet(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        uint feature = c.Cdw10 & 0xff;
        uint select = (c.Cdw10 >> 8) & 7;
        if (JudgeFeature(command, feature) || select == 3)
        {
            return;
        }

        uint v = c.Cdw11;
        if (select > 3 || (feature == 4 && (((v >> 16) & 15) != 0 || ((v >> 20) & 3) > 1)) || (feature == 9 && (v & 0xffff) > ioQueues))
        {
            command.Wrong.Add(NvmeStatus.InvalidField);
        }
        else if (feature == 22 && command.Wrong.Count == 0)
        {
            model.JudgePrps(command, 512, toHost: true);
        }
    }

    private static bool JudgeFeature(HostileCommand command, uint feature)
    {
        if (feature is not (1 or 2 or 4 or 5 or 7 or 8 or 9 or 10 or 11 or 15 or 22))
        {
            command.Wrong.Add(NvmeStatus.InvalidField);
            return true;
        }

        if (command.Command.NamespaceId is not (0 or 1 or uint.MaxValue))
        {
            command.Wrong.Add(NvmeStatus.InvalidNamespace);
        }

        return false;
    }
}
