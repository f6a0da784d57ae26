using System.Runtime.InteropServices;

namespace Penstock.Specs.Zpci;

/// <summary>
/// A stretch of a guest's tables that has changed (<see cref="ZpciNesting.InvalidateDataType"/>), in this machine's byte order: the
/// operands of RPCIT.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ZpciNestedInvalidation
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Size = 16;

    /// <summary>First DMA address.</summary>
    public ulong Start;

    /// <summary>Length in bytes.</summary>
    public ulong Length;
}
