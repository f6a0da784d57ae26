using System.Runtime.InteropServices;

namespace Penstock.Specs.Kvm;

/// <summary>struct kvm_s390_zpci_op (linux/kvm.h), with the members of a registration.</summary>
[StructLayout(LayoutKind.Explicit, Size = Length)]
public struct KvmS390ZpciOp
{
    /// <summary>Length of the structure in bytes; the rest is reserved.</summary>
    public const int Length = 72;

    /// <summary>Handle of the function.</summary>
    [FieldOffset(0)]
    public uint FunctionHandle;

    /// <summary>What to do.</summary>
    [FieldOffset(4)]
    public KvmS390ZpciOperation Operation;

    /// <summary>Guest address of the interrupt bit vector.</summary>
    [FieldOffset(8)]
    public ulong InterruptVector;

    /// <summary>Guest address of the summary bit; 0 for none.</summary>
    [FieldOffset(16)]
    public ulong SummaryBit;

    /// <summary>Flags.</summary>
    [FieldOffset(24)]
    public KvmS390ZpciAenFlags Flags;

    /// <summary>Number of interrupts.</summary>
    [FieldOffset(28)]
    public uint Interrupts;

    /// <summary>Guest interruption subclass.</summary>
    [FieldOffset(32)]
    public byte Subclass;

    /// <summary>Offset of the summary bit.</summary>
    [FieldOffset(33)]
    public byte SummaryBitOffset;
}
