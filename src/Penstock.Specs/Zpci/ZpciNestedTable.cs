using System.Runtime.InteropServices;

namespace Penstock.Specs.Zpci;

/// <summary>What a nested zPCI page table is made from: a guest's registration (<see cref="ZpciNesting.HwptDataType"/>), in this machine's byte order.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ZpciNestedTable
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Anchor of the guest's tables.</summary>
    public ulong Iota;

    /// <summary>First DMA address.</summary>
    public ulong FirstAddress;

    /// <summary>Last DMA address.</summary>
    public ulong LastAddress;

    /// <summary>1: in software, by a shadow; 2: as hardware does it, by a walk at each access.</summary>
    public uint Mode;

    /// <summary>0.</summary>
    public uint Reserved;
}
