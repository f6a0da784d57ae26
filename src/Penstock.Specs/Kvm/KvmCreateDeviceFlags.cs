namespace Penstock.Specs.Kvm;

/// <summary>Flags of KVM_CREATE_DEVICE.</summary>
[Flags]
public enum KvmCreateDeviceFlags : uint
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>Only asks whether the type exists.</summary>
    Test = 1,
}
