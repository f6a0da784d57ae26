namespace Penstock.Lab;

/// <summary>The machine that a guest is: what QEMU emulates and what kernel boots in it.</summary>
public enum GuestArchitecture
{
    /// <summary>A 64-bit PC (QEMU's <c>q35</c>), little endian.</summary>
    X86_64,

    /// <summary>IBM Z (QEMU's <c>s390-ccw-virtio</c>), big endian, PCI through zPCI instructions.</summary>
    S390x,

    /// <summary>POWER under PAPR (QEMU's <c>pseries</c>), little endian, PCI behind TCE tables.</summary>
    Ppc64le,
}
