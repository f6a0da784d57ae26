using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>
/// Random commands of a hostile host, right and wrong ones, several at once: each is answered as a naive disk says, the medium and the
/// host's memory hold what that disk says, and nothing is touched that does not belong to the namespace or is not the device's to touch.
/// </summary>
public sealed class NvmeHostileTests
{
    private const int Size = HostileMemory.Slots * HostileModel.MaxTransfer;
    private const int Entries = 64;
    private const int Queues = 2;

    [Theory]
    [InlineData(512, false, 55_000)]
    [InlineData(512, true, 25_000)]
    [InlineData(4096, false, 20_000)]
    public void RandomCommands_AgainstAModel_StatusDataAndMemoryAgree(int blockSize, bool onWorkers, int commands)
    {
        var random = new Random(blockSize + commands);
        var backing = new CheckedBacking(Size) { Blocks = onWorkers };
        random.NextBytes(backing.Content);
        var options = new NvmeOptions { BlockSize = blockSize };
        using var rig = new NvmeRig(options, backing, map: false);
        var memory = new HostileMemory(rig, random);
        var model = new HostileModel(memory, backing.Content, blockSize);
        rig.Enable(Entries);
        NvmeHostQueue[] queues = [rig.CreatePair(1, Entries), rig.CreatePair(2, Entries)];
        var io = new HostileIo(memory, model, random, blockSize);
        var admin = new HostileAdmin(memory, model, random, rig.Pages(64), options.IoQueues, options.QueueEntries);
        int succeeded = 0;
        int failed = 0;
        int done = 0;
        while (done < commands)
        {
            if (random.Next(6) == 0)
            {
                HostileCommand command = admin.Next();
                NvmeStatus status = Check(command, rig.Admin.Run(command.Command), () => NvmeStatus.Success);
                admin.Answered(command, status);
                foreach ((ulong address, int length) in command.Segments)
                {
                    memory.Accept(address, length);
                }

                memory.VerifySlot(HostileAdmin.Slot, $"{command}");
                done++;
            }

            done += Batch();
            Ring(rig, random);
        }

        memory.VerifyAll("everything");
        Assert.True(model.Content.AsSpan().SequenceEqual(backing.Content), "the medium is not what the model says");
        Assert.Equal(0, backing.Outside);

        // Otherwise the test did not test it.
        Assert.InRange(succeeded, commands / 3, commands);
        Assert.InRange(failed, commands / 10, commands);

        int Batch()
        {
            int count = random.Next(1, HostileMemory.Slots);
            var batch = new Dictionary<(int, ushort), HostileCommand>();
            for (int slot = 1; slot <= count; slot++)
            {
                HostileCommand command = io.Next(slot);
                NvmeHostQueue queue = queues[random.Next(Queues)];
                batch.Add((queue.Id, queue.Put(command.Command)), command);
            }

            queues[0].Ring();
            queues[1].Ring();
            while (batch.Count > 0)
            {
                NvmeCompletion completion = default;
                NvmeRig.WaitUntil(() => queues[0].CompletionRing.TryTake(out completion) || queues[1].CompletionRing.TryTake(out completion), "a command is not completed");
                Assert.True(batch.Remove((completion.SubmissionQueueId, completion.CommandId), out HostileCommand? command), "a completion of no command");
                NvmeStatus status = Check(command, completion, () => model.Execute(command));
                succeeded += status == NvmeStatus.Success ? 1 : 0;
                failed += status == NvmeStatus.Success ? 0 : 1;
                if (command.Wrong.Count != 0 && command.Command.Opcode == 2)
                {
                    command.Segments.ForEach(s => memory.Accept(s.Address, s.Length));
                }

                memory.VerifySlot(command.Slot, $"{command}: {status}");
                Range blocks = (command.Slot * HostileModel.MaxTransfer)..((command.Slot + 1) * HostileModel.MaxTransfer);
                Assert.True(model.Content.AsSpan(blocks).SequenceEqual(backing.Content.AsSpan(blocks)), $"the blocks are wrong after {command}: {status}");
            }

            return count;
        }
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 2)]
    public void RandomBytes_InQueuesRegistersAndLists_TouchNothingElseAndAResetHelps(bool onWorkers, int seed)
    {
        const int Rounds = 80;
        const int Writes = 40;
        var random = new Random(seed);
        var backing = new CheckedBacking(Size) { Blocks = onWorkers };
        using var rig = new NvmeRig(new NvmeOptions { IoQueues = 4 }, backing, map: false);
        var memory = new HostileMemory(rig, random);
        ulong first = rig.NextPage;
        for (int round = 0; round < Rounds; round++)
        {
            rig.Enable(Entries);
            NvmeHostQueue[] queues = [rig.Admin, rig.CreatePair(1, Entries), rig.CreatePair(2, Entries)];
            for (int i = 0; i < Writes; i++)
            {
                NvmeHostQueue queue = queues[random.Next(queues.Length)];
                Span<NvmeCommand> entries = MemoryMarshal.Cast<byte, NvmeCommand>(rig.At(queue.Submissions, Entries * NvmeCommand.Length));
                foreach (ref NvmeCommand entry in entries)
                {
                    entry = Garble(rig, memory, random, queue.Id == 0);
                }

                rig.Write32(NvmeRegisters.Doorbells + (ulong)(8 * queue.Id), (uint)random.Next(Entries));
                rig.Write32(NvmeRegisters.Doorbells + (ulong)(8 * queue.Id) + 4, (uint)random.Next(Entries));
                Ring(rig, random);
                if (random.Next(60) == 0)
                {
                    rig.Write32(NvmeRegisters.Configuration, (uint)random.Next());
                }
            }

            rig.Disable();
            memory.VerifyForbidden();
            Assert.Equal(0, backing.Outside);
            rig.NextPage = first;
            rig.Enable(Entries);
            NvmeHostQueue last = rig.CreatePair();
            ulong page = rig.Pages();
            rig.AdminOk(new NvmeCommand { Opcode = 6, Cdw10 = 1, Prp1 = page });
            last.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, page));
            last.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, page));
            rig.Disable();
            rig.NextPage = first;
        }
    }

    private static NvmeStatus Check(HostileCommand command, NvmeCompletion completion, Func<NvmeStatus> execute)
    {
        NvmeStatus status = completion.Status & NvmeStatus.CodeMask;
        if (command.Wrong.Count == 0)
        {
            Assert.True(execute() == status, $"{command}: {status}, though nothing is wrong with it");
        }
        else
        {
            Assert.True(command.Wrong.Contains(status), $"{command}: {status}, not {string.Join(" or ", command.Wrong)}");
        }

        Assert.Equal(NvmeRetry.Mark(status), completion.Status);
        return status;
    }

    /// <summary>Doorbells of queues that are not there and values that cannot be, registers that cannot be written, in all widths.</summary>
    private static void Ring(NvmeRig rig, Random random)
    {
        switch (random.Next(6))
        {
            case 0:
                rig.Write32(NvmeRegisters.Doorbells + (ulong)(4 * random.Next(12, 512)), (uint)random.Next());
                break;
            case 1:
                rig.Write32(NvmeRegisters.Doorbells + (ulong)(4 * random.Next(6)), (uint)random.Next(Entries, 65536));
                break;
            case 2:
                rig.Write32((ulong)(4 * new[] { 0, 1, 2, 7, 8, 9, 10, 14, 20, 100, 900 }[random.Next(11)]), (uint)random.Next());
                break;
            case 3:
                _ = rig.Read32((ulong)(4 * random.Next(0x800)));
                break;
        }
    }

    /// <summary>Something like a command: random, but with addresses and blocks that often are there, its own queues included.</summary>
    private static NvmeCommand Garble(NvmeRig rig, HostileMemory memory, Random random, bool isAdmin)
    {
        NvmeCommand command = default;
        random.NextBytes(MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref command, 1)));
        command.Opcode = isAdmin ? (byte)(new[] { 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x7c, random.Next(256) })[random.Next(12)]
            : (byte)(new[] { 0, 1, 2, 5, 8, 9, random.Next(256) })[random.Next(7)];
        command.Flags = (NvmeCommandFlags)(random.Next(10) == 0 ? random.Next(256) : 0);
        command.NamespaceId = random.Next(10) == 0 ? command.NamespaceId : 1;
        command.Prp1 = Address();
        command.Prp2 = Address();
        if (random.Next(5) != 0)
        {
            command.Cdw11 = 0;
            command.Cdw10 = (uint)random.Next(isAdmin ? 16 : 4096) | (isAdmin ? (uint)random.Next(64) << 16 : 0);
            command.Cdw12 = (uint)random.Next(random.Next(4) == 0 ? 65536 : 64);
        }

        return command;

        ulong Address() => random.Next(8) switch
        {
            0 => (ulong)random.NextInt64(),
            1 => NvmeRig.Base + (ulong)(random.Next(512) * HostileMemory.Page),
            2 => memory.ListOf(random.Next(HostileMemory.Slots)) + (ulong)(8 * random.Next(512)),
            _ => memory.PageOf(random.Next(HostileMemory.Slots), random.Next(HostileMemory.PagesOfSlot)) + (ulong)(random.Next(3) == 0 ? random.Next(4096) : 0),
        };
    }
}
