using System.Runtime.InteropServices;

namespace Penstock.Specs.Nvme;

/// <summary>
/// A submission queue entry (NVM Express base specification 1.4, section 4.2). Copy it out of the host's memory before looking at it.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = Length)]
public struct NvmeCommand
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 64;

    /// <summary>Log2 of <see cref="Length"/>, as CC.IOSQES has it.</summary>
    public const int LengthShift = 6;

    /// <summary>The opcode: <see cref="NvmeAdminOpcode"/> or <see cref="NvmeIoOpcode"/>.</summary>
    [FieldOffset(0)]
    public byte Opcode;

    /// <summary>Fused operation in bits 1 to 0, kind of data pointer in bits 7 to 6.</summary>
    [FieldOffset(1)]
    public NvmeCommandFlags Flags;

    /// <summary>CID, which with the queue names the command.</summary>
    [FieldOffset(2)]
    public ushort CommandId;

    /// <summary>NSID.</summary>
    [FieldOffset(4)]
    public uint NamespaceId;

    /// <summary>Command dword 2.</summary>
    [FieldOffset(8)]
    public uint Cdw2;

    /// <summary>Command dword 3.</summary>
    [FieldOffset(12)]
    public uint Cdw3;

    /// <summary>MPTR.</summary>
    [FieldOffset(16)]
    public ulong MetadataPointer;

    /// <summary>PRP entry 1, or the first half of an SGL descriptor.</summary>
    [FieldOffset(24)]
    public ulong Prp1;

    /// <summary>PRP entry 2 or the address of the PRP list, or the second half of an SGL descriptor.</summary>
    [FieldOffset(32)]
    public ulong Prp2;

    /// <summary>Command dword 10.</summary>
    [FieldOffset(40)]
    public uint Cdw10;

    /// <summary>Command dword 11.</summary>
    [FieldOffset(44)]
    public uint Cdw11;

    /// <summary>Command dword 12.</summary>
    [FieldOffset(48)]
    public uint Cdw12;

    /// <summary>Command dword 13.</summary>
    [FieldOffset(52)]
    public uint Cdw13;

    /// <summary>Command dword 14.</summary>
    [FieldOffset(56)]
    public uint Cdw14;

    /// <summary>Command dword 15.</summary>
    [FieldOffset(60)]
    public uint Cdw15;

    /// <summary>First block of a read, write, compare, write zeroes or verify (SLBA): dwords 10 and 11.</summary>
    [FieldOffset(40)]
    public ulong StartingLba;
}
