using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>DEVICE_FEATURE (linux/vfio.h, <c>vfio_device_feature</c>); the feature's own structure follows. See <see cref="VfioDeviceRequest.Feature"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceFeature
{
    /// <summary>Length of the structure in bytes, without what follows.</summary>
    public const int Length = 8;

    /// <summary>Size of the caller's structure, with what follows.</summary>
    public uint ArgumentSize;

    /// <summary>Feature and operation.</summary>
    public VfioFeatureFlags Flags;
}
