namespace Penstock.Specs.Vfio;

/// <summary>
/// What a mediated device says about its regions and interrupts: the <c>device_api</c> of its type (linux/vfio.h).
/// </summary>
public static class MdevDeviceApi
{
    /// <summary>As PCI functions have them.</summary>
    public const string Pci = "vfio-pci";

    /// <summary>As platform devices have them.</summary>
    public const string Platform = "vfio-platform";

    /// <summary>As AMBA devices have them.</summary>
    public const string Amba = "vfio-amba";

    /// <summary>A channel subsystem device of s390.</summary>
    public const string Ccw = "vfio-ccw";

    /// <summary>A matrix of cryptographic adapters of s390.</summary>
    public const string Ap = "vfio-ap";
}
