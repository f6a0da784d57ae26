namespace Penstock.Specs.Zpci;

/// <summary>
/// Designation type support mask: which tables a function's group lets a guest register. Bit n, counted from the most significant one of
/// the byte, stands for designation type n. No public text fixes that order; with <see cref="RegionThirdOnly"/> every known reading agrees,
/// so a guest is never shown another value.
/// </summary>
public static class ZpciDtsm
{
    /// <summary>Region third tables only: what guests are shown.</summary>
    public const byte RegionThirdOnly = 0x40;

    private const int First = 0x80;

    /// <summary>Whether a type is in a mask.</summary>
    /// <param name="mask">The mask.</param>
    /// <param name="type">The type, 0 to 7; no other is in any mask.</param>
    /// <returns>Whether it is.</returns>
    public static bool Allows(byte mask, ZpciDesignationType type) => (byte)type < 8 && (mask & (First >> (byte)type)) != 0;

    /// <summary>The mask of one type.</summary>
    /// <param name="type">The type, 0 to 7.</param>
    /// <returns>The mask.</returns>
    public static byte MaskOf(ZpciDesignationType type) => (byte)(First >> (byte)type);
}
