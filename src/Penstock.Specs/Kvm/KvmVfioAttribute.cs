namespace Penstock.Specs.Kvm;

/// <summary>Attributes of the VFIO device of a machine (linux/kvm.h).</summary>
public static class KvmVfioAttribute
{
    /// <summary>The one group, KVM_DEV_VFIO_FILE; called KVM_DEV_VFIO_GROUP at first.</summary>
    public const uint FileGroup = 1;

    /// <summary>KVM_DEV_VFIO_FILE_ADD; the value is a descriptor, 32 bits.</summary>
    public const ulong FileAdd = 1;

    /// <summary>KVM_DEV_VFIO_FILE_DEL; the value is a descriptor, 32 bits.</summary>
    public const ulong FileDel = 2;

    /// <summary>Length of the value of both in bytes.</summary>
    public const int DescriptorLength = 4;
}
