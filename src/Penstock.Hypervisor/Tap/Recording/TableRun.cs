using System.Globalization;
using System.Text;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Pages of which a guest's tables say the same: they lead to neighbouring addresses, or nowhere for one reason. A recording has it as <c>A PAGES ADDRESS r|rw</c>;
/// in the place of address and access stands <c>-</c>, <c>-S</c> or <c>-R</c> where a page, segment or region entry is invalid, and <c>!E</c> where the walk
/// ends with error event E. PAGES is decimal, the rest hexadecimal.
/// </summary>
public readonly struct TableRun
{
    private const int Shown = 40;

    private readonly IoWalk _walk;

    /// <summary>Creates a run of all that one walk says.</summary>
    /// <param name="walk">The walk for the first page.</param>
    /// <param name="last">Last address, the last one of a page.</param>
    public TableRun(in IoWalk walk, ulong last)
    {
        _walk = walk;
        Last = last;
    }

    /// <summary>First I/O address.</summary>
    public ulong First => _walk.Iova;

    /// <summary>Last I/O address.</summary>
    public ulong Last { get; }

    private ulong Pages => ((Last - First) / ZpciIoTable.PageSize) + 1;

    private string Says =>
        _walk.Fault != ZpciErrorEvent.None ? string.Create(CultureInfo.InvariantCulture, $"!{(ushort)_walk.Fault:x}")
        : _walk.IsValid ? (_walk.CanWrite ? "rw" : "r")
        : _walk.Level switch { ZpciTableLevel.Page => "-", ZpciTableLevel.Segment => "-S", _ => "-R" };

    /// <summary>Reads a run as a recording has it.</summary>
    /// <param name="text">The text in ASCII, without what comes before the address.</param>
    /// <returns>The run.</returns>
    /// <exception cref="FormatException">It is none; the message says which word is wrong, and what belongs there.</exception>
    public static TableRun Parse(ReadOnlySpan<byte> text)
    {
        MemoryExtensions.SpanSplitEnumerator<byte> words = text.Split((byte)' ');
        ReadOnlySpan<byte> first = Next(text, ref words);
        ReadOnlySpan<byte> pages = Next(text, ref words);
        ReadOnlySpan<byte> target = Next(text, ref words);
        ReadOnlySpan<byte> access = Next(text, ref words);
        if (!TryHex(first, out ulong iova) || iova % ZpciIoTable.PageSize != 0)
        {
            throw new FormatException($"'{Show(first)}' is not the I/O address of a page in hex; a run is 'T ADDRESS PAGES TARGET r|rw' or 'T ADDRESS PAGES -'");
        }

        if (!ulong.TryParse(pages, NumberStyles.None, CultureInfo.InvariantCulture, out ulong count) || count == 0
            || count - 1 > (ulong.MaxValue - iova) / ZpciIoTable.PageSize)
        {
            throw new FormatException($"'{Show(pages)}' is not a number of pages that can follow I/O address {iova:x}; it is decimal and at least 1");
        }

        return new TableRun(ParseTarget(iova, target, access), iova + (count * ZpciIoTable.PageSize) - 1);
    }

    /// <summary>Whether an address is in it.</summary>
    /// <param name="iova">The address.</param>
    /// <returns>Whether it is.</returns>
    public bool Has(ulong iova) => iova >= First && iova <= Last;

    /// <summary>What a walk for one of its addresses finds. Of a run that was read, a page at a time.</summary>
    /// <param name="iova">The address.</param>
    /// <returns>The walk.</returns>
    public IoWalk Walk(ulong iova) =>
        _walk.Fault != ZpciErrorEvent.None ? IoWalk.Failed(iova, _walk.Level, _walk.Fault)
        : _walk.IsValid ? IoWalk.Valid(iova, _walk.Address + (iova - First), _walk.Level, _walk.CanWrite)
        : IoWalk.Invalid(iova, _walk.Level);

    /// <summary>Adds the run that follows, if it says the same.</summary>
    /// <param name="next">That run.</param>
    /// <param name="both">Receives both as one, or this one.</param>
    /// <returns>Whether it says the same.</returns>
    public bool TryJoin(in TableRun next, out TableRun both)
    {
        bool same = next.First == Last + 1 && Says == next.Says && (!_walk.IsValid || Walk(next.First).Address == next._walk.Address);
        both = same ? new TableRun(_walk, next.Last) : this;
        return same;
    }

    /// <inheritdoc/>
    public override string ToString() => _walk.IsValid
        ? string.Create(CultureInfo.InvariantCulture, $"{First:x} {Pages} {_walk.Address:x} {Says}")
        : string.Create(CultureInfo.InvariantCulture, $"{First:x} {Pages} {Says}");

    private static IoWalk ParseTarget(ulong iova, ReadOnlySpan<byte> target, ReadOnlySpan<byte> access)
    {
        if (target is [(byte)'-', ..])
        {
            ZpciTableLevel? level = target.SequenceEqual("-"u8) ? ZpciTableLevel.Page
                : target.SequenceEqual("-S"u8) ? ZpciTableLevel.Segment
                : target.SequenceEqual("-R"u8) ? ZpciTableLevel.RegionThird
                : null;
            return level is { } ended && access.IsEmpty
                ? IoWalk.Invalid(iova, ended)
                : throw new FormatException($"'{Show(target)}' is no kind of invalid entry; those are '-' (page), '-S' (segment) and '-R' (region)");
        }

        if (target is [(byte)'!', ..])
        {
            return TryHex(target[1..], out ulong fault) && fault is not 0 and <= ushort.MaxValue && access.IsEmpty
                ? IoWalk.Failed(iova, ZpciTableLevel.Page, (ZpciErrorEvent)fault)
                : throw new FormatException($"'{Show(target)}' is no error in the tables; one is '!' and the number of its event in hex");
        }

        bool writable = access.SequenceEqual("rw"u8);
        return TryHex(target, out ulong address) && (writable || access.SequenceEqual("r"u8))
            ? IoWalk.Valid(iova, address, ZpciTableLevel.Page, writable)
            : throw new FormatException($"'{Show(target)} {Show(access)}' is not an address in hex with 'r' or 'rw'");
    }

    private static ReadOnlySpan<byte> Next(ReadOnlySpan<byte> text, ref MemoryExtensions.SpanSplitEnumerator<byte> words)
    {
        while (words.MoveNext())
        {
            if (!text[words.Current].IsEmpty)
            {
                return text[words.Current];
            }
        }

        return default;
    }

    private static bool TryHex(ReadOnlySpan<byte> word, out ulong value) => ulong.TryParse(word, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);

    private static string Show(ReadOnlySpan<byte> word) => Encoding.Latin1.GetString(word[..Math.Min(word.Length, Shown)]);
}
