namespace Penstock.Specs.Kvm;

/// <summary>Operations of KVM_S390_ZPCI_OP.</summary>
public enum KvmS390ZpciOperation : byte
{
    /// <summary>Registers the guest's adapter event notification.</summary>
    RegisterAen = 0,

    /// <summary>Takes it back.</summary>
    DeregisterAen = 1,
}
