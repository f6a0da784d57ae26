using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <content>Slots that come and go, and pins of whole slots.</content>
public sealed partial class GuestPins
{
    private bool TryPinWhole(PinnedSlot slot)
    {
        if (slot.IsWhole)
        {
            return true;
        }

        long more = (long)slot.Pages - slot.Counted;
        if (slot.IsCharged && _payer.Charge(more) != Errno.None)
        {
            return false;
        }

        slot.IsWhole = true;
        _pages += more;
        _pins += (long)slot.Pages;
        _payer.Ledger.Acquired(ResourceKind.Pin, (long)slot.Pages);
        return true;
    }

    private void UnpinWhole()
    {
        foreach (PinnedSlot? slot in _slots)
        {
            if (slot is { IsWhole: true })
            {
                Unwhole(slot);
            }
        }
    }

    private void Unwhole(PinnedSlot slot)
    {
        long less = (long)slot.Pages - slot.Counted;
        slot.IsWhole = false;
        _pages -= less;
        _pins -= (long)slot.Pages;
        _payer.Ledger.Released(ResourceKind.Pin, (long)slot.Pages);
        if (slot.IsCharged)
        {
            _payer.Uncharge(less);
        }
    }

    /// <summary>Takes note of slots that have come or gone. The machine's memory does not change meanwhile.</summary>
    private void Compare(ReadOnlySpan<GuestMemorySlot> now)
    {
        foreach (PinnedSlot? slot in _slots)
        {
            if (slot is { IsGone: false } && !now.Contains(slot.Slot))
            {
                slot.IsGone = true;
                _anyGone = true;
            }
        }

        var view = new List<PinnedSlot>(now.Length);
        foreach (GuestMemorySlot slot in now)
        {
            PinnedSlot? known = Array.Find(_slots, s => s is { IsGone: false } && ReferenceEquals(s.Slot, slot));
            known ??= TryAdd(slot);
            if (known is not null && (!_whole || TryPinWhole(known)))
            {
                view.Add(known);
            }
        }

        _view = [.. view];
    }

    private PinnedSlot? TryAdd(GuestMemorySlot slot)
    {
        int id = Array.IndexOf(_slots, null);
        if (id < 0)
        {
            id = _slots.Length;
            if (id == GuestPage.MaximumSlots)
            {
                return null;
            }

            Array.Resize(ref _slots, id * 2);
        }

        return slot.Length / GuestMemory.PageSize > GuestPage.LargestPage ? null : _slots[id] = new PinnedSlot(id, slot, _payer.Ledger);
    }

    private void WaitForReaders()
    {
        foreach (IGuestReader reader in _readers)
        {
            reader.WaitForScopes();
        }
    }

    /// <summary>Gives back slots that have gone and of which nothing is pinned; all of them at the end. No reader uses them any more.</summary>
    private void Sweep()
    {
        lock (_gate)
        {
            foreach (PinnedSlot? slot in _slots)
            {
                if (slot is null || (!_disposed && !slot.IsGone))
                {
                    continue;
                }

                if (slot.IsWhole)
                {
                    Unwhole(slot);
                }

                if (slot.Counted == 0 || _disposed)
                {
                    Free(slot);
                }
            }
        }
    }

    private void Free(PinnedSlot slot)
    {
        _slots[slot.Id] = null;
        Freed?.Invoke(slot);
        slot.Free();
    }
}
