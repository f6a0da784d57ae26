using System.Runtime.InteropServices;

namespace Penstock.Specs.Kvm;

/// <summary>struct kvm_irqfd (linux/kvm.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = Length)]
public struct KvmIrqfd
{
    /// <summary>Length of the structure in bytes; the rest is padding.</summary>
    public const int Length = 32;

    /// <summary>The eventfd.</summary>
    public int Descriptor;

    /// <summary>The interrupt line.</summary>
    public uint Gsi;

    /// <summary>Flags.</summary>
    public KvmIrqfdFlags Flags;

    /// <summary>The resample eventfd.</summary>
    public int ResampleDescriptor;
}
