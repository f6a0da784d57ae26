namespace Penstock.Specs.Kvm;

/// <summary>Flags of KVM_IRQFD.</summary>
[Flags]
public enum KvmIrqfdFlags : uint
{
    /// <summary>Assign, edge triggered.</summary>
    None = 0,

    /// <summary>Take it away.</summary>
    Deassign = 1,

    /// <summary>Keep the level until the guest's end of interrupt, then tell the resample eventfd.</summary>
    Resample = 2,

    /// <summary>All that are defined.</summary>
    All = Deassign | Resample,
}
