using Penstock.S390;

namespace Penstock.Cli.Replay;

/// <summary>Reads table entries of a recording.</summary>
internal readonly struct RecordedPagesReader(RecordedPages pages) : ITableReader
{
    public bool TryRead(ulong address, out ulong entry) => pages.TryRead(address, out entry);
}
