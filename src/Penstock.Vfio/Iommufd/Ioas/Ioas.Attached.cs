using System.Numerics;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>What is attached: page tables, accesses, and what they demand of the mappings.</content>
public sealed partial class Ioas
{
    /// <summary>Takes ranges out of use for an owner, all or none.</summary>
    internal void Reserve(RangeCall what, IEnumerable<IovaRange> ranges, object owner)
    {
        Context.Host.Allocations.Ask(what);
        int before = _reserved.Count;
        foreach (IovaRange range in ranges)
        {
            if (_areas.LastTouching(range) is not null || _allowed.Exists(a => a.Overlaps(range)))
            {
                _reserved.RemoveRange(before, _reserved.Count - before);
                throw new VfioException(Errno.EADDRINUSE, what, $"a mapping or an allowed range touches {range}, which cannot be used");
            }

            _reserved.Add((range, owner));
        }
    }

    /// <summary>Gives back what one of several equal reservations of an owner took.</summary>
    internal void UnreserveOnce(object owner, IEnumerable<IovaRange> ranges)
    {
        foreach (IovaRange range in ranges)
        {
            _reserved.RemoveAt(_reserved.FindIndex(r => ReferenceEquals(r.Owner, owner) && r.Range == range));
        }
    }

    internal void Unreserve(object owner) => _reserved.RemoveAll(r => ReferenceEquals(r.Owner, owner));

    /// <summary>Puts everything into a new table and keeps it there; all or nothing.</summary>
    internal void AddTable(RangeCall what, PagingHwPagetable table)
    {
        ulong page = 1ul << BitOperations.TrailingZeroCount(table.Domain.PageSizes);
        if (page > PageSize)
        {
            throw new VfioException(Errno.EINVAL, what, $"the IOMMU's smallest page 0x{page:x} is larger than the CPU's");
        }

        CheckAlignment(what, Math.Max(page, _alignment));
        IovaRange aperture = table.Domain.Aperture;
        Reserve(what, IovaHoles.Between([aperture]), table.Domain);
        var filled = new List<IoasArea>();
        try
        {
            foreach (IoasArea area in _areas.All)
            {
                Fill(area, [table]);
                filled.Add(area);
            }
        }
        catch
        {
            foreach (IoasArea area in filled)
            {
                Unfill(area, table);
            }

            Unreserve(table.Domain);
            throw;
        }

        _tables.Add(table);
        _alignment = Math.Max(page, _alignment);
    }

    internal void RemoveTable(PagingHwPagetable table)
    {
        _tables.Remove(table);
        foreach (IoasArea area in _areas.All)
        {
            Unfill(area, table);
        }

        Unreserve(table.Domain);
        UpdateAlignment("removing a page table");
    }

    internal void AddAccess(RangeCall what, IommufdAccess access)
    {
        Context.Host.Allocations.Ask(what);
        _accesses.Add(access);
        try
        {
            UpdateAlignment(what);
        }
        catch
        {
            _accesses.Remove(access);
            throw;
        }
    }

    internal void RemoveAccess(IommufdAccess access)
    {
        _accesses.Remove(access);
        UpdateAlignment("detaching an access");
    }

    internal IEnumerable<(IoasArea Area, ulong Iova, ulong Length)> Pieces(IovaRange range) => _areas.Pieces(range);

    private void Unfill(IoasArea area, PagingHwPagetable table)
    {
        table.Domain.Unmap(area.Range);
        if (_tables.Count == 0)
        {
            area.Pages.Unfill(area);
        }
    }

    private void UpdateAlignment(RangeCall what)
    {
        ulong alignment = _hugePages ? 1 : PageSize;
        foreach (PagingHwPagetable table in _tables)
        {
            alignment = Math.Max(alignment, 1ul << BitOperations.TrailingZeroCount(table.Domain.PageSizes));
        }

        foreach (IommufdAccess access in _accesses)
        {
            alignment = Math.Max(alignment, access.Alignment);
        }

        CheckAlignment(what, alignment);
        _alignment = alignment;
    }

    private void CheckAlignment(RangeCall what, ulong alignment)
    {
        if (alignment > _alignment && _areas.All.FirstOrDefault(a => !a.IsAligned(alignment)) is { } odd)
        {
            throw new VfioException(Errno.EADDRINUSE, what, $"the mapping at {odd.Range} is not aligned to 0x{alignment:x}");
        }
    }
}
