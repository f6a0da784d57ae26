namespace Penstock.Pci;

/// <summary>
/// A register whose writes can come as signals of an eventfd, so that a guest's write wakes the function without a way through its VMM. A signal says
/// only that somebody wrote, and several may come as one; users who know nothing of it write the register as ever.
/// </summary>
/// <param name="Offset">Offset in the BAR in bytes.</param>
/// <param name="Size">Width of the writes that signal: 1, 2, 4 or 8 bytes; 0 for any.</param>
public sealed record PciDoorbell(ulong Offset, int Size)
{
    /// <summary>The one value that signals, for a <see cref="Size"/> that is not 0; other values stay accesses. Null: any.</summary>
    public ulong? Match { get; init; }

    /// <summary>
    /// What the function does on a signal, on its strand as posted work. Doorbells of a BAR with the same action share an eventfd. Null: the register
    /// is written with <see cref="Match"/>, or with 0 in 4 bytes where any value or width signals.
    /// </summary>
    public Action? Rung { get; init; }
}
