namespace Penstock.Devices;

/// <summary>One kind of device in a catalog.</summary>
public sealed class DeviceEntry
{
    /// <summary>Name by which it is asked for, lower case.</summary>
    public required string Name { get; init; }

    /// <summary>One line for a list, without a full stop at the end.</summary>
    public required string Summary { get; init; }

    /// <summary>PCI vendor id.</summary>
    public required ushort VendorId { get; init; }

    /// <summary>PCI device id.</summary>
    public required ushort DeviceId { get; init; }

    /// <summary>What can be set.</summary>
    public IReadOnlyList<DeviceOption> Options { get; init; } = [];

    /// <summary>
    /// Makes one device from checked options. Throws <see cref="Penstock.Vfio.VfioException"/> with EINVAL for a value that makes no sense,
    /// with another errno when something outside (a file, memory) is at fault. Null for a parent.
    /// </summary>
    public Func<DeviceOptions, ServedDevice>? Factory { get; init; }

    /// <summary>For an entry that is served as several mediated devices: makes their parent, as <see cref="Factory"/> makes a device.</summary>
    public Func<DeviceOptions, ServedParent>? ParentFactory { get; init; }

    /// <summary>Vendor and device id as tools print them, for example <c>494f:0dc8</c>.</summary>
    public string Ids => $"{VendorId:x4}:{DeviceId:x4}";
}
