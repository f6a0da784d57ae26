using System.Runtime.InteropServices;

namespace Penstock.Vfio;

/// <summary>One mapping in a translation table. An entry of length 0 matches nothing.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TableEntry
{
    /// <summary>Flag beside the two of <see cref="DmaAccess"/>: <see cref="Target"/> is an address of this process.</summary>
    internal const int Direct = 4;

    internal ulong Start;
    internal ulong Length;

    /// <summary>Address of the first byte, or its offset in the memory.</summary>
    internal ulong Target;

    /// <summary>Index of the memory object.</summary>
    internal int Memory;

    /// <summary><see cref="DmaAccess"/> and <see cref="Direct"/>.</summary>
    internal int Flags;
}
