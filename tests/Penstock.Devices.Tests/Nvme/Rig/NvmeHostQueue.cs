using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>A submission queue as the host keeps it, with the completion queue that it uses.</summary>
internal sealed class NvmeHostQueue
{
    private NvmeRig _rig;
    private ushort _nextId;

    internal NvmeHostQueue(NvmeRig rig, int id, int entries, int completionId, int completionEntries)
        : this(rig, id, entries, new NvmeHostRing(rig, completionId, completionEntries))
    {
    }

    internal NvmeHostQueue(NvmeRig rig, int id, int entries, NvmeHostRing completions)
    {
        _rig = rig;
        Id = id;
        Entries = entries;
        Submissions = rig.Pages(((entries * NvmeCommand.Length) + NvmeRig.Page - 1) / NvmeRig.Page);
        CompletionRing = completions;
    }

    internal int Id { get; }

    internal int Entries { get; }

    internal ulong Submissions { get; }

    internal NvmeHostRing CompletionRing { get; }

    internal int Tail { get; private set; }

    /// <summary>Where the tail is left instead of the register, when set.</summary>
    internal Action<uint>? RingTail { get; set; }

    /// <summary>The same queue goes on with another disk.</summary>
    internal void Use(NvmeRig rig)
    {
        _rig = rig;
        CompletionRing.Use(rig);
    }

    /// <summary>Puts a command into the queue; the controller is not told.</summary>
    internal ushort Put(NvmeCommand command, ushort? id = null)
    {
        command.CommandId = id ?? _nextId++;
        _rig.Ref<NvmeCommand>(Submissions + (ulong)(Tail * NvmeCommand.Length)) = command;
        Tail = (Tail + 1) % Entries;
        return command.CommandId;
    }

    internal void Ring()
    {
        if (RingTail is { } ring)
        {
            ring((uint)Tail);
        }
        else
        {
            _rig.Write32(NvmeRegisters.Doorbells + (ulong)(2 * Id * NvmeRegisters.DoorbellSize), (uint)Tail);
        }
    }

    internal ushort Submit(NvmeCommand command, ushort? id = null)
    {
        ushort given = Put(command, id);
        Ring();
        return given;
    }

    /// <summary>Submits a command and waits for its completion, while nothing else is under way.</summary>
    internal NvmeCompletion Run(NvmeCommand command)
    {
        ushort id = Submit(command);
        NvmeCompletion completion = CompletionRing.Take();
        Assert.Equal(((ushort)Id, id), (completion.SubmissionQueueId, completion.CommandId));
        return completion;
    }

    internal NvmeStatus Status(NvmeCommand command) => Run(command).Status & NvmeStatus.CodeMask;

    /// <summary>Runs a command so many times, one after the other.</summary>
    internal void Ok(NvmeCommand command, int times = 1)
    {
        for (int i = 0; i < times; i++)
        {
            Assert.Equal(NvmeStatus.Success, Run(command).Status);
        }
    }
}
