namespace Penstock.Specs.Kvm;

/// <summary>Flags of KVM_IOEVENTFD.</summary>
[Flags]
public enum KvmIoEventfdFlags : uint
{
    /// <summary>Any value, in the memory space.</summary>
    None = 0,

    /// <summary>Only one value.</summary>
    DataMatch = 1,

    /// <summary>In the port space.</summary>
    Pio = 2,

    /// <summary>Take it away.</summary>
    Deassign = 4,

    /// <summary>Notifications of virtio-ccw devices.</summary>
    VirtioCcw = 8,

    /// <summary>All that are defined.</summary>
    All = DataMatch | Pio | Deassign | VirtioCcw,
}
