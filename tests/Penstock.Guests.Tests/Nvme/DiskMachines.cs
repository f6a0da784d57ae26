using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>The machines that a disk is tried in. Each takes the disk's <c>-device</c> values and gives the guest.</summary>
internal static class DiskMachines
{
    /// <summary>Page tables change with each I/O: nothing is left mapped for later.</summary>
    private const string Strict = "iommu.strict=1";

    public static GuestConfiguration Plain(params string[] devices) => new() { Devices = devices };

    public static GuestConfiguration IntelIommu(params string[] devices) => new()
    {
        Machine = QemuDevice.SplitIrqchipMachine,
        Devices = [QemuDevice.IntelIommu, .. devices],
        KernelArguments = $"intel_iommu=on {Strict}",
    };

    public static GuestConfiguration AmdIommu(params string[] devices) => new()
    {
        Machine = QemuDevice.SplitIrqchipMachine,
        Devices = [QemuDevice.AmdIommu, .. devices],
        KernelArguments = Strict,
    };

    public static GuestConfiguration VirtioIommu(params string[] devices) => new()
    {
        Devices = [QemuDevice.VirtioIommu, .. devices],
        Modules = ["virtio-iommu"],
        KernelArguments = Strict,
    };

    /// <summary>The device must have the id <c>disk</c>.</summary>
    public static GuestConfiguration S390x(params string[] devices) => new()
    {
        Devices = [QemuDevice.Zpci(7, 9, "disk"), .. devices],
        KernelArguments = Strict,
    };

    /// <summary>A small window, which is cleared page by page at each reset.</summary>
    public static GuestConfiguration Ppc64le(params string[] devices) => new()
    {
        Devices = devices,
        ExtraArguments = ["-global", "spapr-pci-host-bridge.dma_win_size=0x1000000"],
    };
}
