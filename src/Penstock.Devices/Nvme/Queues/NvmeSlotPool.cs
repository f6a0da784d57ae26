using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>All slots of a controller. Used on the strand; nothing is allocated after it was made.</summary>
internal sealed class NvmeSlotPool
{
    private readonly NvmeSlot[] _slots;
    private readonly int[] _free;
    private int _freeCount;

    internal NvmeSlotPool(int count, uint longestTransfer)
    {
        _slots = new NvmeSlot[count];
        _free = new int[count];
        for (int i = 0; i < count; i++)
        {
            _slots[i] = new NvmeSlot(i, longestTransfer);
            _free[_freeCount++] = count - 1 - i;
        }
    }

    internal ReadOnlySpan<NvmeSlot> All => _slots;

    internal int Free => _freeCount;

    internal NvmeSlot this[int index] => _slots[index];

    internal NvmeSlot Take(NvmeSubmissionQueue queue, in NvmeCommand command, int epoch)
    {
        NvmeSlot slot = _slots[_free[--_freeCount]];
        slot.Command = command;
        slot.Queue = queue;
        slot.Epoch = epoch;
        slot.Status = NvmeStatus.Success;
        slot.Result = 0;
        slot.Fused = null;
        slot.MustRetry = false;
        slot.State = NvmeSlotState.Taken;
        return slot;
    }

    internal void Return(NvmeSlot slot)
    {
        slot.State = NvmeSlotState.Free;
        slot.Queue = null;
        slot.Fused = null;
        _free[_freeCount++] = slot.Index;
    }

    /// <summary>Gives back every slot that the workers do not have.</summary>
    internal void ReturnAllButWorkers()
    {
        foreach (NvmeSlot slot in _slots)
        {
            if (slot.State is not (NvmeSlotState.Free or NvmeSlotState.Working))
            {
                Return(slot);
            }
        }
    }
}
