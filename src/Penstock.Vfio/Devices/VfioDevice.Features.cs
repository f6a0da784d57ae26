using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>DEVICE_FEATURE.</content>
public abstract partial class VfioDevice
{
    /// <summary>How the device migrates; null when it does not. Looked at when it is registered, and for every feature of migration.</summary>
    protected internal virtual MigrationOperations? Migration => null;

    /// <summary>Whether the device can be registered.</summary>
    /// <exception cref="VfioException">EINVAL: part of what it offers is missing.</exception>
    internal void CheckRegistration(string what) => Migration?.Check(what);

    /// <summary>DEVICE_FEATURE with the kernel's structure, as it arrives at a device file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="argument">The structure, to be answered in place.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: the device has no such feature.</exception>
    internal int DeviceFeature(VfioDeviceFile file, Span<byte> argument) =>
        throw new VfioException(Errno.ENOTTY, $"DEVICE_FEATURE of {Name}", "the device has no features");
}
