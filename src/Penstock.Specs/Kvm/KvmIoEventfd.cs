using System.Runtime.InteropServices;

namespace Penstock.Specs.Kvm;

/// <summary>struct kvm_ioeventfd (linux/kvm.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = StructureLength)]
public struct KvmIoEventfd
{
    /// <summary>Length of the structure in bytes; the rest is padding.</summary>
    public const int StructureLength = 64;

    /// <summary>The value to match.</summary>
    public ulong DataMatch;

    /// <summary>Address in its space.</summary>
    public ulong Address;

    /// <summary>Width in bytes: 1, 2, 4, 8, or 0 for any.</summary>
    public uint Length;

    /// <summary>The eventfd.</summary>
    public int Descriptor;

    /// <summary>Flags.</summary>
    public KvmIoEventfdFlags Flags;
}
