namespace Penstock.Lab;

/// <summary>What the lab has to know about one guest architecture: names in QEMU, in Debian and in the kernel.</summary>
internal sealed record GuestPlatform
{
    /// <summary>Name used for folders and in environment variables' suffixes: x86_64, s390x, ppc64le.</summary>
    public required string Name { get; init; }

    public required string QemuProgram { get; init; }

    public required string QemuPackage { get; init; }

    public required string DebianArchitecture { get; init; }

    /// <summary>Debian's package that always depends on the suite's newest kernel of this architecture.</summary>
    public required string KernelPackage { get; init; }

    public required string Console { get; init; }

    public required string Machine { get; init; }

    public required string Cpu { get; init; }

    /// <summary>Kernel arguments that this machine needs under emulation.</summary>
    public required string KernelArguments { get; init; }

    public required IReadOnlyList<string> Modules { get; init; }

    private static readonly string[] CommonModules =
    [
        "vfio", "vfio-pci", "vfio-pci-core", "vfio_iommu_type1", "iommufd", "pci-stub", "uio", "uio_pci_generic",
        "nvme", "nvme-core", "e1000", "e1000e", "tun",
        "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_console", "virtio_balloon", "virtio-rng",
        "vsock", "vmw_vsock_virtio_transport", "9p", "9pnet_virtio",
        // ext4 asks for its checksum by another name than the module's.
        "ext4", "crc32c_generic", "squashfs", "vfat", "overlay", "loop", "nls_ascii", "nls_cp437", "nls_iso8859-1",
    ];

    private static readonly GuestPlatform X86 = new()
    {
        Name = "x86_64",
        QemuProgram = "qemu-system-x86_64",
        QemuPackage = "qemu-system-x86",
        DebianArchitecture = "amd64",
        KernelPackage = "linux-image-amd64",
        Console = "ttyS0",
        Machine = "q35",
        Cpu = "max",
        // The boot-time timer check fails on a busy host: emulated time runs on while the guest does not.
        KernelArguments = "no_timer_check",
        Modules =
        [
            .. CommonModules, "gpio-pci-idio-16", "gpio-pcie-idio-24", "gpio-sim", "edu", "virtio-iommu", "irqbypass", "kvm", "vfio_virqfd",
            "ahci", "sd_mod", "xhci_pci", "igb", "igbvf", "i2c-i801",
        ],
    };

    private static readonly GuestPlatform S390 = new()
    {
        Name = "s390x",
        QemuProgram = "qemu-system-s390x",
        QemuPackage = "qemu-system-s390x",
        DebianArchitecture = "s390x",
        KernelPackage = "linux-image-s390x",
        Console = "ttysclp0",
        Machine = "s390-ccw-virtio",
        Cpu = "max",
        KernelArguments = "",
        Modules = [.. CommonModules, "vfio_pci_zdev", "zpci", "virtio_ccw", "ism", "s390_trng"],
    };

    private static readonly GuestPlatform Ppc64 = new()
    {
        Name = "ppc64le",
        QemuProgram = "qemu-system-ppc64",
        QemuPackage = "qemu-system-ppc",
        DebianArchitecture = "ppc64el",
        KernelPackage = "linux-image-powerpc64le",
        Console = "hvc0",
        // The emulator has none of these mitigations and says so on every start unless they are declared absent.
        Machine = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
        Cpu = "power9",
        KernelArguments = "",
        Modules = [.. CommonModules, "vfio_iommu_spapr_tce", "vfio_spapr_eeh", "ibmvscsi", "ibmveth", "sd_mod"],
    };

    public static GuestPlatform Of(GuestArchitecture architecture) => architecture switch
    {
        GuestArchitecture.X86_64 => X86,
        GuestArchitecture.S390x => S390,
        GuestArchitecture.Ppc64le => Ppc64,
        _ => throw new ArgumentOutOfRangeException(nameof(architecture), architecture, "no such guest architecture"),
    };
}
