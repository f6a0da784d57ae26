namespace Penstock.Vfio;

/// <summary>
/// Who has pinned which pages of a mapping, and how often. Pages are kept in blocks of as many as one request can pin, an array of counts
/// for each device that has pins there.
/// </summary>
internal sealed class Type1Pins
{
    private const int BlockShift = 9;
    private const int BlockPages = 1 << BlockShift;

    private readonly Dictionary<ulong, List<Holder>> _blocks = [];

    /// <summary>Pages that are pinned by anybody.</summary>
    internal ulong Pages { get; private set; }

    /// <summary>Devices that have pins.</summary>
    internal IEnumerable<VfioDevice> Devices => _blocks.Values.SelectMany(static b => b).Select(static h => h.Device).Distinct();

    /// <summary>How many of some pages nobody has pinned yet.</summary>
    internal ulong Fresh(ulong first, ulong count)
    {
        ulong fresh = 0;
        for (ulong done = 0; done < count;)
        {
            (ulong block, int from, int length) = Piece(first + done, count - done);
            fresh += (ulong)length;
            if (_blocks.TryGetValue(block, out List<Holder>? holders))
            {
                for (int i = from; i < from + length; i++)
                {
                    fresh -= IsPinned(holders, i) ? 1ul : 0;
                }
            }

            done += (ulong)length;
        }

        return fresh;
    }

    internal void Add(VfioDevice device, ulong first, ulong count)
    {
        Pages += Fresh(first, count);
        for (ulong done = 0; done < count;)
        {
            (ulong block, int from, int length) = Piece(first + done, count - done);
            if (!_blocks.TryGetValue(block, out List<Holder>? holders))
            {
                _blocks.Add(block, holders = []);
            }

            if (Find(holders, device) is not { } holder)
            {
                holders.Add(holder = new Holder(device));
            }

            foreach (ref int pins in holder.Pins.AsSpan(from, length))
            {
                pins++;
            }

            holder.Total += length;
            done += (ulong)length;
        }
    }

    /// <summary>Drops one pin of each of some pages.</summary>
    /// <returns>How many there were to drop.</returns>
    internal ulong Remove(VfioDevice device, ulong first, ulong count)
    {
        ulong dropped = 0;
        for (ulong done = 0; done < count;)
        {
            (ulong block, int from, int length) = Piece(first + done, count - done);
            done += (ulong)length;
            if (_blocks.TryGetValue(block, out List<Holder>? holders) && Find(holders, device) is { } holder)
            {
                dropped += holders.Count == 1 ? DropAlone(holder, from, length) : DropShared(holders, holder, from, length);
                Forget(block, holders, holder);
            }
        }

        return dropped;
    }

    /// <summary>Drops every pin of a device.</summary>
    /// <returns>How many there were.</returns>
    internal ulong RemoveAll(VfioDevice device)
    {
        ulong dropped = 0;
        foreach ((ulong block, List<Holder> holders) in _blocks.ToArray())
        {
            if (Find(holders, device) is { } holder)
            {
                for (int i = 0; i < BlockPages; i++)
                {
                    dropped += Drop(holders, holder, i, int.MaxValue);
                }

                Forget(block, holders, holder);
            }
        }

        return dropped;
    }

    /// <summary>Tells each run of pages that are pinned.</summary>
    internal void Visit(Action<ulong, ulong> run)
    {
        foreach ((ulong block, List<Holder> holders) in _blocks)
        {
            for (int i = 0; i < BlockPages;)
            {
                int end = i;
                while (end < BlockPages && IsPinned(holders, end))
                {
                    end++;
                }

                if (end != i)
                {
                    run((block << BlockShift) + (ulong)i, (ulong)(end - i));
                }

                i = end + 1;
            }
        }
    }

    private static (ulong Block, int From, int Length) Piece(ulong page, ulong count)
    {
        int from = (int)(page & (BlockPages - 1));
        return (page >> BlockShift, from, (int)Math.Min(count, (ulong)(BlockPages - from)));
    }

    private static Holder? Find(List<Holder> holders, VfioDevice device)
    {
        foreach (Holder holder in holders)
        {
            if (holder.Device == device)
            {
                return holder;
            }
        }

        return null;
    }

    private static bool IsPinned(List<Holder> holders, int page)
    {
        foreach (Holder holder in holders)
        {
            if (holder.Pins[page] != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>One pin of each page, when nobody else has any there.</summary>
    private ulong DropAlone(Holder holder, int from, int length)
    {
        int dropped = 0;
        int gone = 0;
        foreach (ref int pins in holder.Pins.AsSpan(from, length))
        {
            int drop = pins != 0 ? 1 : 0;
            dropped += drop;
            gone += pins == 1 ? 1 : 0;
            pins -= drop;
        }

        holder.Total -= dropped;
        Pages -= (ulong)gone;
        return (ulong)dropped;
    }

    private ulong DropShared(List<Holder> holders, Holder holder, int from, int length)
    {
        ulong dropped = 0;
        for (int i = from; i < from + length; i++)
        {
            dropped += Drop(holders, holder, i, 1);
        }

        return dropped;
    }

    private ulong Drop(List<Holder> holders, Holder holder, int page, int most)
    {
        int drop = Math.Min(holder.Pins[page], most);
        holder.Pins[page] -= drop;
        holder.Total -= drop;
        if (drop != 0 && !IsPinned(holders, page))
        {
            Pages--;
        }

        return (ulong)drop;
    }

    private void Forget(ulong block, List<Holder> holders, Holder holder)
    {
        if (holder.Total == 0)
        {
            holders.Remove(holder);
            if (holders.Count == 0)
            {
                _blocks.Remove(block);
            }
        }
    }

    private sealed class Holder(VfioDevice device)
    {
        internal VfioDevice Device { get; } = device;

        internal int[] Pins { get; } = new int[BlockPages];

        internal long Total { get; set; }
    }
}
