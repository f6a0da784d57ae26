using System.Runtime.InteropServices;

namespace Penstock.Specs.Kvm;

/// <summary>struct kvm_create_device (linux/kvm.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct KvmCreateDevice
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 12;

    /// <summary>The type.</summary>
    public KvmDeviceType Type;

    /// <summary>Receives the descriptor.</summary>
    public int Descriptor;

    /// <summary>Flags.</summary>
    public KvmCreateDeviceFlags Flags;
}
