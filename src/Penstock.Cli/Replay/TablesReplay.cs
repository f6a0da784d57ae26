using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>Lists the pages that recorded tables map.</summary>
internal static class TablesReplay
{
    public static void Run(TablesRecording recording, ReplayOutput output, ReplayNotes notes)
    {
        var reader = new RecordedPagesReader(recording.Pages);
        (ulong at, ulong last) = recording.Aperture;
        while (true)
        {
            IoWalk walk = IoTableWalk.Walk(reader, recording.Iota, at);
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

            ulong rest = Math.Min(walk.Length - 1, last - at);
            if (walk.Fault != ZpciErrorEvent.None)
            {
                notes.Add($"error 0x{(ushort)walk.Fault:x} at I/O address 0x{at:x}: 0x{rest + 1:x} bytes from there are not mapped", "walks that fail");
            }
            else if (walk.IsValid)
            {
                for (ulong offset = 0; offset <= rest; offset += ZpciIoTable.PageSize)
                {
                    output.Page(at + offset, walk.Address + offset, walk.CanWrite);
                }
            }

            if (rest == last - at)
            {
                return;
            }

            at += rest + 1;
        }
    }
}
