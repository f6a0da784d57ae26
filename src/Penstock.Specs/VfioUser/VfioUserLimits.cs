namespace Penstock.Specs.VfioUser;

/// <summary>Numbers of the vfio-user protocol: versions, defaults when a peer does not say (vfio-user, "Version"), and sizes.</summary>
public static class VfioUserLimits
{
    /// <summary>Major version.</summary>
    public const ushort Major = 0;

    /// <summary>Highest minor version spoken here.</summary>
    public const ushort Minor = 1;

    /// <summary>Descriptors per message when a peer does not say.</summary>
    public const int DefaultMaximumDescriptors = 1;

    /// <summary>Data bytes per message when a peer does not say.</summary>
    public const int DefaultMaximumTransfer = 1 << 20;

    /// <summary>Maps when a peer does not say.</summary>
    public const int DefaultMaximumDmaMaps = 65535;

    /// <summary>Longest dirty bitmap in bytes when a peer does not say.</summary>
    public const ulong DefaultMaximumBitmap = 256 << 20;

    /// <summary>Page sizes when a peer does not say, as a mask.</summary>
    public const ulong DefaultPageSizes = 4096;

    /// <summary>The most descriptors per message that QEMU accepts from a server.</summary>
    public const int MaximumDescriptors = 16;

    /// <summary>The longest message: 1 MiB of data behind a header and the longest fixed payload of a data message.</summary>
    public const int MaximumMessage = DefaultMaximumTransfer + VfioUserHeader.Length + VfioUserRegionAccess.Length;
}
