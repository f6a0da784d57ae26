using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <content>Where mappings go, and how they get into the tables.</content>
public sealed partial class Ioas
{
    /// <summary>The check of a copy's source, which comes before its destination is looked for.</summary>
    internal void CheckMapped(RangeCall what, ulong iova, ulong length) => PiecesOf(what, iova, length);

    /// <summary>The parts of pages behind a range that must be mapped without holes.</summary>
    private List<AreaPiece> PiecesOf(RangeCall what, ulong iova, ulong length)
    {
        if (length == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "the length is 0");
        }

        if (length - 1 > ulong.MaxValue - iova)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "the source ends past 2^64");
        }

        Context.Host.Allocations.Ask(what);
        var pieces = new List<AreaPiece>();
        ulong covered = 0;
        foreach ((IoasArea area, ulong start, ulong piece) in _areas.Pieces(new IovaRange(iova, iova + (length - 1))))
        {
            pieces.Add(new AreaPiece(area.Pages, area.Offset + (start - area.Iova), piece));
            covered += piece;
        }

        return covered == length ? pieces : throw new VfioException(Errno.ENOENT, what, $"the source is not mapped at 0x{iova + covered:x}");
    }

    private ulong Insert(RangeCall what, Func<IommufdPages> pages, ulong address, ulong length, DmaAccess access, ulong? iova)
    {
        ulong place = Place(what, address, length, iova);
        Context.Host.Allocations.Ask(what);
        IommufdPages made = pages();
        try
        {
            return Insert(what, [new AreaPiece(made, 0, length)], place, access);
        }
        catch
        {
            made.Discard();
            throw;
        }
    }

    private ulong Insert(RangeCall what, List<AreaPiece> pieces, ulong length, DmaAccess access, ulong? iova)
    {
        ulong place = Place(what, pieces[0].Pages.Address + pieces[0].Offset, length, iova);
        return Insert(what, pieces, place, access);
    }

    private ulong Insert(RangeCall what, List<AreaPiece> pieces, ulong iova, DmaAccess access)
    {
        var added = new List<IoasArea>();
        try
        {
            ulong next = iova;
            foreach (AreaPiece piece in pieces)
            {
                Context.Host.Allocations.Ask(what);
                var area = new IoasArea { Iova = next, Length = piece.Length, Access = access, Backing = piece.Pages, Offset = piece.Offset };
                piece.Pages.Add(area);
                _areas.Add(area);
                added.Add(area);
                next += piece.Length;
                if (Writes(access) && !piece.Pages.Writeable)
                {
                    throw new VfioException(Errno.EPERM, what, "the pages were mapped read-only");
                }

                if (!area.IsAligned(_alignment))
                {
                    throw new VfioException(Errno.EINVAL, what, $"the memory's offset in its page is not a multiple of 0x{_alignment:x}");
                }
            }

            if (_tables.Count != 0)
            {
                foreach (IoasArea area in added)
                {
                    Fill(area, _tables);
                }
            }

            return iova;
        }
        catch
        {
            added.ForEach(RemoveArea);
            throw;
        }
    }

    private ulong Place(RangeCall what, ulong address, ulong length, ulong? iova)
    {
        if ((length & (_alignment - 1)) != 0 || length == 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"the length must be a multiple of 0x{_alignment:x} and not 0");
        }

        if (iova is not { } place)
        {
            return Choose(what, address, length);
        }

        if ((place & (_alignment - 1)) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"the address must be a multiple of 0x{_alignment:x}");
        }

        if (length - 1 > ulong.MaxValue - place)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "it ends past 2^64");
        }

        var range = new IovaRange(place, place + (length - 1));
        foreach ((IovaRange reserved, _) in _reserved.Where(r => r.Range.Overlaps(range)))
        {
            throw new VfioException(Errno.EINVAL, what, $"it touches the reserved range {reserved}");
        }

        return _areas.LastTouching(range) is null ? place : throw new VfioException(Errno.EEXIST, what, "something in the range is mapped already");
    }

    private ulong Choose(RangeCall what, ulong address, ulong length)
    {
        if (length >= ulong.MaxValue / 2)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "it is too long to be placed");
        }

        // Large pages need address and memory to agree in their low bits, so the memory's own alignment is kept up to that size.
        ulong alignment = BitOperations.RoundUpToPowerOf2(length);
        if (address != 0)
        {
            alignment = Math.Min(alignment, 1ul << BitOperations.TrailingZeroCount(address));
        }

        alignment = Math.Min(alignment, IommufdLimits.LargePage);
        if (alignment < _alignment)
        {
            throw new VfioException(Errno.EINVAL, what, $"memory and length must be multiples of 0x{_alignment:x}");
        }

        var usable = new IovaRange(PageSize, ulong.MaxValue - PageSize);
        IEnumerable<IovaRange> spans = _allowed.Count == 0 ? [usable] : _allowed.Where(usable.Overlaps);
        foreach (IovaRange span in spans)
        {
            ulong last = Math.Min(span.Last, usable.Last);
            ulong next = Math.Max(span.First, usable.First);
            while (TryAlign(next, last, length, alignment, address % PageSize, out ulong place))
            {
                if (LastObstacle(new IovaRange(place, place + (length - 1))) is not { } obstacle)
                {
                    return place;
                }

                if (obstacle == ulong.MaxValue)
                {
                    break;
                }

                next = obstacle + 1;
            }
        }

        throw new VfioException(Errno.ENOSPC, what, "no hole is large enough");
    }

    private static bool TryAlign(ulong next, ulong last, ulong length, ulong alignment, ulong pageOffset, out ulong place)
    {
        place = 0;
        if (next > ulong.MaxValue - (alignment - 1))
        {
            return false;
        }

        place = ((next + (alignment - 1)) & ~(alignment - 1)) | pageOffset;
        return place < last && last - place >= length - 1;
    }

    private ulong? LastObstacle(IovaRange range)
    {
        ulong? last = _areas.LastTouching(range)?.Last;
        foreach ((IovaRange reserved, _) in _reserved)
        {
            if (reserved.Overlaps(range) && (last is null || reserved.Last > last))
            {
                last = reserved.Last;
            }
        }

        return last;
    }

    /// <summary>Pins an area and puts it into tables, all or none.</summary>
    private void Fill(IoasArea area, List<PagingHwPagetable> tables)
    {
        bool first = !area.Filled;
        if (first)
        {
            area.Pages.Fill(area);
        }

        int done = 0;
        try
        {
            UserMemory memory = area.Pages.Resolve(area.Offset, out ulong offset);
            for (; done < tables.Count && !area.Pages.IsHidden; done++)
            {
                Context.Host.Allocations.Ask("filling a table");
                MapInto(tables[done].Domain, area, memory, offset);
            }
        }
        catch
        {
            while (done-- > 0)
            {
                tables[done].Domain.Unmap(area.Range);
            }

            if (first)
            {
                area.Pages.Unfill(area);
            }

            throw;
        }
    }

    private void MapInto(IommuDomain domain, IoasArea area, UserMemory memory, ulong offset)
    {
        if (_hugePages)
        {
            domain.Map(area.Iova, area.Length, area.Access, memory, offset);
            return;
        }

        ulong done = 0;
        try
        {
            while (done < area.Length)
            {
                ulong length = Math.Min(PageSize, area.Length - done);
                domain.Map(area.Iova + done, length, area.Access, memory, offset + done);
                done += length;
            }
        }
        catch
        {
            if (done != 0)
            {
                domain.Unmap(new IovaRange(area.Iova, area.Iova + (done - 1)));
            }

            throw;
        }
    }

    private void RemoveArea(IoasArea area)
    {
        if (area.Filled)
        {
            foreach (PagingHwPagetable table in _tables)
            {
                table.Domain.Unmap(area.Range);
            }

            area.Filled = false;
        }

        _areas.Remove(area);
        area.Pages.Remove(area);
    }
}
