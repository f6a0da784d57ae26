namespace Penstock.Pci;

/// <summary>
/// Declares one register of a <see cref="RegisterFile"/>. A bit that is in none of the masks is stored as software writes it.
/// </summary>
/// <param name="Name">Name in the specification, for people who read logs.</param>
/// <param name="Offset">Offset in bytes, a multiple of the width.</param>
/// <param name="Width">1, 2, 4 or 8 bytes.</param>
/// <param name="ResetValue">Value after reset.</param>
public sealed record Register(string Name, int Offset, int Width, ulong ResetValue = 0)
{
    /// <summary>Bits that software cannot change.</summary>
    public ulong ReadOnlyMask { get; init; }

    /// <summary>Bits that software clears by writing 1.</summary>
    public ulong WriteOneToClearMask { get; init; }

    /// <summary>Bits that the specification does not define: read-only too, and a 1 written there is reported once.</summary>
    public ulong UnknownMask { get; init; }

    /// <summary>Called for each read with the stored value; what it returns is what software sees.</summary>
    public Func<ulong, ulong>? OnRead { get; init; }

    /// <summary>Called after each write.</summary>
    public RegisterWrite? OnWrite { get; init; }
}
