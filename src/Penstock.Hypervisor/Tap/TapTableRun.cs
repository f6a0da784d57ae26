using System.Globalization;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>A run of pages for which a guest's tables say the same.</summary>
/// <param name="Start">First I/O address.</param>
/// <param name="Pages">How many pages; 0 for no run.</param>
/// <param name="Address">Where the first one leads, when they are valid.</param>
/// <param name="Says"><c>r</c>, <c>rw</c>, <c>-</c>, <c>-S</c> or <c>-R</c>; <c>!</c> for an error in the tables.</param>
internal readonly record struct TapTableRun(ulong Start, ulong Pages, ulong Address, string Says)
{
    private bool IsValid => Says is "r" or "rw";

    /// <summary>The run that begins at an address: one page, or all that one entry of a higher table says.</summary>
    public static TapTableRun At(GuestMemory memory, Iota iota, ulong at, ulong last)
    {
        IoWalk walk = IoTableWalk.Walk(new GuestTableReader(memory), iota, at);
        ulong pages = (Math.Min(walk.Length - 1, last - at) / GuestMemory.PageSize) + 1;
        return walk.Fault != ZpciErrorEvent.None ? new TapTableRun(at, pages, 0, "!")
            : walk.IsValid ? new TapTableRun(at, pages, walk.Address, walk.CanWrite ? "rw" : "r")
            : new TapTableRun(at, pages, 0, walk.Level switch { ZpciTableLevel.Page => "-", ZpciTableLevel.Segment => "-S", _ => "-R" });
    }

    /// <summary>Adds the run that follows, if it says the same.</summary>
    public bool TryExtendWith(TapTableRun next, out TapTableRun both)
    {
        bool same = Pages != 0 && Says == next.Says && (!IsValid || Address + (Pages * GuestMemory.PageSize) == next.Address);
        both = same ? this with { Pages = Pages + next.Pages } : next;
        return same;
    }

    public override string ToString() => IsValid
        ? string.Create(CultureInfo.InvariantCulture, $"{Start:x} {Pages} {Address:x} {Says}")
        : string.Create(CultureInfo.InvariantCulture, $"{Start:x} {Pages} {Says}");
}
