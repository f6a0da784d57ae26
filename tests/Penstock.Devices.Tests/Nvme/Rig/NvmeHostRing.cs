using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>A completion queue as the host keeps it; several queues may use one.</summary>
internal sealed class NvmeHostRing(NvmeRig rig, int id, int entries)
{
    private NvmeRig _rig = rig;
    private bool _phase = true;

    internal int Id => id;

    internal int Entries => entries;

    internal ulong Address { get; } = rig.Pages(((entries * NvmeCompletion.Length) + NvmeRig.Page - 1) / NvmeRig.Page);

    internal int Head { get; private set; }

    /// <summary>Where the head is left instead of the register, when set.</summary>
    internal Action<uint>? RingHead { get; set; }

    internal void Use(NvmeRig other) => _rig = other;

    /// <summary>Takes the next entry if there is one, and tells the controller.</summary>
    internal bool TryTake(out NvmeCompletion completion, bool ring = true)
    {
        ref NvmeCompletion entry = ref _rig.Ref<NvmeCompletion>(Address + (ulong)(Head * NvmeCompletion.Length));
        ushort status = Volatile.Read(ref entry.StatusAndPhase);
        if ((status & NvmeCompletion.Phase) != 0 != _phase)
        {
            completion = default;
            return false;
        }

        completion = entry;
        Head++;
        if (Head == entries)
        {
            Head = 0;
            _phase = !_phase;
        }

        if (ring)
        {
            Ring();
        }

        return true;
    }

    /// <summary>Whether the next entry is there, of a certain command.</summary>
    internal bool Peek(ushort commandId)
    {
        ref NvmeCompletion entry = ref _rig.Ref<NvmeCompletion>(Address + (ulong)(Head * NvmeCompletion.Length));
        return ((Volatile.Read(ref entry.StatusAndPhase) & NvmeCompletion.Phase) != 0) == _phase && entry.CommandId == commandId;
    }

    /// <summary>Tells the controller how far this has read.</summary>
    internal void Ring()
    {
        if (RingHead is { } ring)
        {
            ring((uint)Head);
        }
        else
        {
            _rig.Write32(NvmeRegisters.Doorbells + (ulong)(((2 * id) + 1) * NvmeRegisters.DoorbellSize), (uint)Head);
        }
    }

    internal NvmeCompletion Take()
    {
        NvmeCompletion completion = default;
        NvmeRig.WaitUntil(() => TryTake(out completion), $"nothing comes from completion queue {id}");
        return completion;
    }
}
