using System.Runtime.InteropServices;

namespace Penstock.Specs.Kvm;

/// <summary>struct kvm_device_attr (linux/kvm.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct KvmDeviceAttr
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>None are defined.</summary>
    public uint Flags;

    /// <summary>Group of attributes, which the device's type defines.</summary>
    public uint Group;

    /// <summary>Attribute in the group.</summary>
    public ulong Attribute;

    /// <summary>Address of its value.</summary>
    public ulong Address;
}
