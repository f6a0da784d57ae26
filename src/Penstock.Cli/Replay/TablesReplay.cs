using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>
/// Lists the pages that recorded tables map. A table that maps nothing is looked at once for each level that it is used at: tables that all lead to each other, and to
/// nothing, would have no end otherwise.
/// </summary>
internal sealed class TablesReplay(TablesRecording recording, ReplayOutput output, ReplayNotes notes)
{
    private const string Failing = "walks that fail";
    private const int Levels = 4;

    private readonly RecordedPagesReader _reader = new(recording.Pages);

    // By address, and level of the entry that leads there: how many walks fail below.
    private readonly Dictionary<(ulong Table, int Level), long> _mapNothing = [];
    private readonly Looked[] _looked = new Looked[Levels];
    private long _pages;
    private long _faults;

    public void Run()
    {
        (ulong at, ulong last) = recording.Aperture;
        while (true)
        {
            IoWalk walk = IoTableWalk.Walk(_reader, recording.Iota, at);
            if (recording.Pages.Missing is ulong missing)
            {
                throw new ReplayFailure(
                    $"'{recording.TablesPath}' lacks the table page at 0x{missing & ~(ZpciIoTable.PageSize - 1):x}, which I/O address 0x{at:x} needs; "
                    + "record all table pages of the range pba to pal");
            }

            if (walk.Fault == ZpciErrorEvent.AddressOutOfRange)
            {
                notes.Add($"the tables end at I/O address 0x{recording.Iota.LastAddress:x}, before pal 0x{last:x}; nothing above is mapped");
                return;
            }

            if (!TrySkip(at, last, walk.Level, out ulong rest))
            {
                rest = Math.Min(walk.Length - 1, last - at);
                Print(walk, at, rest);
            }

            Leave(at + rest);
            if (rest == last - at)
            {
                return;
            }

            at += rest + 1;
        }
    }

    private void Print(in IoWalk walk, ulong at, ulong rest)
    {
        if (walk.Fault != ZpciErrorEvent.None)
        {
            _faults++;
            notes.Add($"error 0x{(ushort)walk.Fault:x} at I/O address 0x{at:x}: 0x{rest + 1:x} bytes from there are not mapped", Failing);
        }
        else if (walk.IsValid)
        {
            for (ulong offset = 0; offset <= rest; offset += ZpciIoTable.PageSize)
            {
                _pages++;
                output.Page(at + offset, walk.Address + offset, walk.CanWrite);
            }
        }
    }

    /// <summary>Goes past the largest table that begins at an address and is known to map nothing; takes note of the others that begin there.</summary>
    private bool TrySkip(ulong at, ulong last, ZpciTableLevel ended, out ulong rest)
    {
        rest = 0;
        if ((at & (ZpciIoTable.SegmentSize - 1)) != 0)
        {
            return false;
        }

        ulong table = recording.Iota.Origin;
        for (int level = (int)recording.Iota.Level; level > (int)ended; level -= ZpciIoTable.LevelBits)
        {
            // The walk has been there: each of these entries leads to a table.
            bool isSegment = level == (int)ZpciTableLevel.Segment;
            _reader.TryRead(table + (((at >> level) & (ZpciIoTable.TableEntries - 1)) * ZpciIoTable.EntrySize), out ulong entry);
            table = entry & (isSegment ? ZpciIoTable.SegmentOrigin : ZpciIoTable.RegionOrigin);
            ulong reach = (1ul << level) - 1;
            if ((at & reach) != 0 || reach > last - at)
            {
                continue;
            }

            // Failing walks are told one by one as long as anybody gets to see them.
            if (_mapNothing.TryGetValue((table, level), out long faults) && (faults == 0 || notes.IsFull(Failing)))
            {
                _faults += faults;
                notes.Count(Failing, faults);
                rest = reach;
                return true;
            }

            _looked[IndexOf(level)] = new Looked(true, table, _pages, _faults);
        }

        return false;
    }

    /// <summary>All up to an address has been looked at: what is known of the tables that end there.</summary>
    private void Leave(ulong until)
    {
        for (int level = (int)ZpciTableLevel.Segment; level <= (int)ZpciTableLevel.RegionFirst; level += ZpciIoTable.LevelBits)
        {
            ulong reach = (1ul << level) - 1;
            if ((until & reach) != reach)
            {
                return;
            }

            ref Looked looked = ref _looked[IndexOf(level)];
            if (looked.IsWhole && looked.Pages == _pages)
            {
                _mapNothing[(looked.Table, level)] = _faults - looked.Faults;
            }

            looked = default;
        }
    }

    private static int IndexOf(int level) => (level - (int)ZpciTableLevel.Segment) / ZpciIoTable.LevelBits;

    /// <summary>A table that is looked at from its begin, and what there was before.</summary>
    private readonly record struct Looked(bool IsWhole, ulong Table, long Pages, long Faults);
}
