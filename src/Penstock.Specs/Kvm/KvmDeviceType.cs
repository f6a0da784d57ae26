namespace Penstock.Specs.Kvm;

/// <summary>Types of devices that a virtual machine can have (KVM_DEV_TYPE_…).</summary>
public enum KvmDeviceType : uint
{
    /// <summary>The device that tells a machine which VFIO files it has.</summary>
    Vfio = 4,
}
