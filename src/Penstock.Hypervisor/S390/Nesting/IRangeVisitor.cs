using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// What is done with the entries that a <see cref="RangeWalk{TVisitor}"/> finds. Implemented by structs, so that each walk is compiled for
/// its visitor.
/// </summary>
internal interface IRangeVisitor
{
    /// <summary>An entry leads to a table, which is walked next.</summary>
    /// <param name="level">Level of the entry.</param>
    /// <param name="iova">First address below the entry that is in the range.</param>
    /// <param name="origin">Guest address of the table.</param>
    void Table(ZpciTableLevel level, ulong iova, ulong origin);

    /// <summary>An entry leads to a frame of 1 MiB, whose pages follow.</summary>
    /// <param name="iova">First address of the frame that is in the range.</param>
    void Frame(ulong iova);

    /// <summary>Whether the rest of the frame is of no interest.</summary>
    bool SkipsFrame { get; }

    /// <summary>Whether the rest of the range is of no interest. Looked at after each segment.</summary>
    bool IsDone { get; }

    /// <summary>A page that leads somewhere.</summary>
    /// <param name="iova">Its address, or the address in it where the range begins.</param>
    /// <param name="address">Guest address of the page.</param>
    /// <param name="writable">Whether it may be written.</param>
    void Page(ulong iova, ulong address, bool writable);

    /// <summary>Addresses that lead nowhere, by one invalid entry.</summary>
    /// <param name="level">Level of the entry.</param>
    /// <param name="first">First address below it that is in the range.</param>
    /// <param name="last">Last one.</param>
    void Nothing(ZpciTableLevel level, ulong first, ulong last);
}
