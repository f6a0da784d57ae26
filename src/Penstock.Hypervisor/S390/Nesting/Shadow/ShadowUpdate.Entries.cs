using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <content>Single entries: what a page of the guest's tables means for the host's, and for pins.</content>
internal sealed unsafe partial class ShadowUpdate
{
    private void Page(ulong iova, ulong address, bool writable)
    {
        PinnedSlot? slot = _pins.Find(address);
        bool mayWrite = writable && slot is not { IsReadOnly: true };
        ulong wanted = slot is null
            ? 0
            : new GuestPage(slot.Id, (address - slot.First) / ZpciIoTable.PageSize).Word | ShadowTable.Present | (mayWrite ? ShadowTable.Writable : 0);
        ulong there = _leaf == null ? 0 : _leaf->Entry(iova);
        if (there == wanted && there != 0)
        {
            return;
        }

        if (there == 0 && _budget?.TryTake() == false)
        {
            (_again, _skipsFrame) = (true, true);
            return;
        }

        if (slot is not null && (there & ~ShadowTable.Writable) == (wanted & ~ShadowTable.Writable))
        {
            Protect(iova, slot, wanted);
            return;
        }

        if (there != 0)
        {
            // Another page takes its place in the budget.
            TakeOut(iova, ref _leaf->Entry(iova), returns: false);
        }

        if (slot is null)
        {
            // The guest maps what is no memory: no device can reach it.
            _budget?.Return(1);
            _failed = true;
            _failures++;
        }
        else if (!TryPutIn(iova, slot, wanted))
        {
            _budget?.Return(1);
            (_again, _starved) = (true, true);
            _failures++;
        }
    }

    /// <summary>The same page, but what may be done with it is different.</summary>
    private void Protect(ulong iova, PinnedSlot slot, ulong wanted)
    {
        MarkChanged();
        ref ulong entry = ref _leaf->Entry(iova);
        if (_target.TrySet(iova & ZpciIoTable.PageFrame, slot, GuestPage.Of(wanted).Page, (wanted & ShadowTable.Writable) != 0))
        {
            entry = wanted;
        }
        else
        {
            TakeOut(iova, ref entry, returns: true);
            (_again, _starved) = (true, true);
        }
    }

    private bool TryPutIn(ulong iova, PinnedSlot slot, ulong wanted)
    {
        if (_leaf == null && !TryMakeLeaf(iova))
        {
            return false;
        }

        // SAFETY: leaves stay until the shadow is disposed, and an address is masked to an index of one.
        GuestPage page = GuestPage.Of(wanted);
        if (!TryPinTables() || !TryPin(page))
        {
            return false;
        }

        if (!_target.TrySet(iova & ZpciIoTable.PageFrame, slot, page.Page, (wanted & ShadowTable.Writable) != 0))
        {
            _pins.Unpin(page);
            return false;
        }

        _leaf->Entry(iova) = wanted;
        _leaf->Live++;
        _entries++;
        return true;
    }

    private bool TryMakeLeaf(ulong iova)
    {
        _leaf = _table.MakeLeaf(iova);
        if (_leaf == null && _droppedCount != 0)
        {
            // What these give back may be enough.
            Flush();
            _leaf = _table.MakeLeaf(iova);
        }

        _region = _table.RegionAt(iova);
        return _leaf != null;
    }

    /// <summary>An entry is emptied; its pin goes when nobody can use the page any more.</summary>
    private void TakeOut(ulong iova, ref ulong entry, bool returns)
    {
        MarkChanged();
        _target.Clear(iova & ZpciIoTable.PageFrame);
        if (_droppedCount == MostDropped)
        {
            Flush();
        }

        _dropped[_droppedCount++] = entry;
        entry = 0;
        _leaf->Live--;
        _entries--;
        if (returns)
        {
            _budget?.Return(1);
        }
    }

    private void Flush()
    {
        if (_changed)
        {
            _changed = false;
            _target.Refresh(_first, _last);
        }

        _flushed |= _droppedCount != 0;
        while (_droppedCount != 0)
        {
            _pins.Unpin(GuestPage.Of(_dropped[--_droppedCount]));
        }
    }

    private bool TryPinTables()
    {
        if (_segmentTable != 0 && _region->Table.Origin != _segmentTable && !TryPinTable(ref _region->Table, _segmentTable, RootPages))
        {
            return false;
        }

        return _pageTable == 0 || _leaf->Table.Origin == _pageTable || TryPinTable(ref _leaf->Table, _pageTable, 1);
    }

    private bool TryPinTable(ref ShadowTable.TablePins table, ulong origin, int pages)
    {
        Errno errno = table.Pin(_pins, origin, pages, write: false);
        if (errno == Errno.ENOMEM && _droppedCount != 0)
        {
            Flush();
            errno = table.Pin(_pins, origin, pages, write: false);
        }

        return errno != Errno.ENOMEM;
    }

    private bool TryPin(GuestPage page)
    {
        Errno errno = _pins.Pin(page);
        if (errno == Errno.ENOMEM && _droppedCount != 0)
        {
            Flush();
            errno = _pins.Pin(page);
        }

        return errno == Errno.None;
    }

    private void MarkChanged()
    {
        Changed++;
        _changed = true;
    }
}
