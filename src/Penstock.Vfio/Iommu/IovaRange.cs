namespace Penstock.Vfio;

/// <summary>A range of I/O addresses with both ends included, so that it can reach the last byte of the address space.</summary>
/// <param name="First">First address.</param>
/// <param name="Last">Last address.</param>
public readonly record struct IovaRange(ulong First, ulong Last)
{
    /// <summary>The whole address space.</summary>
    public static IovaRange All => new(0, ulong.MaxValue);

    /// <summary>Whether the two ranges share an address.</summary>
    /// <param name="other">The other range.</param>
    /// <returns>True when they do.</returns>
    public bool Overlaps(IovaRange other) => First <= other.Last && other.First <= Last;

    /// <summary>Whether <paramref name="other"/> lies within this range.</summary>
    /// <param name="other">The other range.</param>
    /// <returns>True when it does.</returns>
    public bool Contains(IovaRange other) => First <= other.First && other.Last <= Last;

    /// <inheritdoc/>
    public override string ToString() => $"[0x{First:x}, 0x{Last:x}]";
}
