using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <content>Unmapping, with notices to whoever holds pins.</content>
public sealed partial class Ioas
{
    /// <summary>
    /// Removes every mapping in a range (IOAS_UNMAP); when it returns no device and no access uses them. Users of pins are asked to drop
    /// them. (0, 2^64-1) removes everything, also when there is nothing.
    /// </summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>Bytes removed.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: length 0; EOVERFLOW: it wraps; ENOENT: nothing is mapped there, or an edge cuts a mapping, and the mappings below that one
    /// are gone; EDEADLK: somebody does not drop his pins, or the calling thread is inside a scope of a table; ENOENT: destroyed.
    /// </exception>
    public ulong Unmap(ulong iova, ulong length)
    {
        RangeCall what = new("IOAS_UNMAP", iova, length);
        if (iova == 0 && length == IommufdLimits.Everything)
        {
            return Unmap(what, IovaRange.All);
        }

        if (iova == IommufdLimits.Everything || length == IommufdLimits.Everything)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "address and length must be below 2^64 - 1");
        }

        ulong removed = UnmapRange(what, iova, length);
        return removed != 0 ? removed : throw new VfioException(Errno.ENOENT, what, "nothing is mapped there");
    }

    /// <summary>As <see cref="Unmap(ulong, ulong)"/>, but nothing mapped is 0.</summary>
    internal ulong UnmapRange(RangeCall what, ulong iova, ulong length)
    {
        if (length == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "the length is 0");
        }

        if (length - 1 > ulong.MaxValue - iova)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "it ends past 2^64");
        }

        return Unmap(what, new IovaRange(iova, iova + (length - 1)));
    }

    internal ulong Unmap(RangeCall what, IovaRange range)
    {
        ulong removed = 0;
        return Unmap(what, range, ref removed);
    }

    /// <summary>As above; tells what was removed also when it fails.</summary>
    internal ulong Unmap(RangeCall what, IovaRange range, ref ulong removed)
    {
        int rounds = 0;
        IoasArea? asked = null;
        while (true)
        {
            IommufdAccess[] users;
            lock (Context.Gate)
            {
                ThrowIfDestroyed(what);
                asked = RemoveUntilPinned(what, range, asked, ref rounds, ref removed);
                if (asked is null)
                {
                    return removed;
                }

                users = [.. _accesses];
            }

            // Callbacks drop pins, which takes the gate; whoever pins anew meanwhile is refused.
            foreach (IommufdAccess user in users)
            {
                user.NotifyUnmap(asked.Iova, asked.Length);
            }
        }
    }

    /// <summary>Cuts the mappings at the edges of a range, as only address spaces without large pages can.</summary>
    internal void Cut(RangeCall what, IovaRange range)
    {
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            CutAfter(what, range.Last);
            if (range.First != 0)
            {
                CutAfter(what, range.First - 1);
            }
        }
    }

    private void CutAfter(RangeCall what, ulong iova)
    {
        if (_areas.At(iova) is not { } area || area.Last == iova)
        {
            return;
        }

        if (area.PreventAccess)
        {
            throw new VfioException(Errno.EBUSY, what, $"the mapping at {area.Range} is being unmapped");
        }

        if (area.Pages.IsDmaBuf)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"the mapping at {area.Range} is memory of a device, which is not cut");
        }

        ulong first = iova - area.Iova + 1;
        if (((iova + 1) & (_alignment - 1)) != 0 || ((area.Pages.Address + area.Offset + first) & (_alignment - 1)) != 0
            || area.Pins != 0 || (_tables.Count != 0 && _hugePages))
        {
            throw new VfioException(Errno.EINVAL, what, $"the mapping at {area.Range} cannot be cut at 0x{iova + 1:x}");
        }

        // The tables have an entry for each page already: only the books change.
        IoasArea lower = Part(area, 0, first);
        IoasArea upper = Part(area, first, area.Length - first);
        _areas.Remove(area);
        _areas.Add(lower);
        _areas.Add(upper);
        area.Filled = false;
        area.Pages.Remove(area);
    }

    private static IoasArea Part(IoasArea area, ulong first, ulong length)
    {
        var part = new IoasArea
        {
            Iova = area.Iova + first,
            Length = length,
            Access = area.Access,
            Backing = area.Pages,
            Offset = area.Offset + first,
            Filled = area.Filled,
        };
        area.Pages.Add(part);
        return part;
    }

    private IoasArea? RemoveUntilPinned(RangeCall what, IovaRange range, IoasArea? asked, ref int rounds, ref ulong removed)
    {
        if (_tables.Exists(static t => t.Domain.IsEnteredByCaller))
        {
            throw new VfioException(Errno.EDEADLK, what, "the calling thread is inside a scope of the address space; leave it first");
        }

        while (_areas.FirstTouching(range) is { } area)
        {
            if (!range.Contains(area.Range))
            {
                throw new VfioException(Errno.ENOENT, what, $"it would cut the mapping at {area.Range}; unmap whole mappings");
            }

            if (area.Pins != 0)
            {
                rounds = ReferenceEquals(area, asked) ? rounds + 1 : 1;
                if (rounds > IommufdLimits.UnmapRounds)
                {
                    area.PreventAccess = false;
                    throw new VfioException(Errno.EDEADLK, what, $"pins on the mapping at {area.Range} are not dropped although asked for");
                }

                area.PreventAccess = true;
                return area;
            }

            removed += area.Length;
            RemoveArea(area);
        }

        return null;
    }
}
