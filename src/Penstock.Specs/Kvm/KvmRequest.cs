namespace Penstock.Specs.Kvm;

/// <summary>Requests of a virtual machine and its devices (linux/kvm.h), with direction and size as ioctl(2) takes them.</summary>
public enum KvmRequest : uint
{
    /// <summary>KVM_IRQFD: ties an eventfd to an interrupt line.</summary>
    Irqfd = 0x4020_ae76,

    /// <summary>KVM_IOEVENTFD: ties an eventfd to writes of the guest.</summary>
    IoEventfd = 0x4040_ae79,

    /// <summary>KVM_S390_ZPCI_OP.</summary>
    S390ZpciOp = 0x4048_aed1,

    /// <summary>KVM_CREATE_DEVICE.</summary>
    CreateDevice = 0xc00c_aee0,

    /// <summary>KVM_SET_DEVICE_ATTR.</summary>
    SetDeviceAttr = 0x4018_aee1,

    /// <summary>KVM_HAS_DEVICE_ATTR.</summary>
    HasDeviceAttr = 0x4018_aee3,
}
