namespace Penstock.Specs.Kvm;

/// <summary>Flags of a registration by KVM_S390_ZPCI_OP.</summary>
[Flags]
public enum KvmS390ZpciAenFlags : uint
{
    /// <summary>Firmware delivers what it can.</summary>
    None = 0,

    /// <summary>The host delivers everything.</summary>
    Host = 1,
}
