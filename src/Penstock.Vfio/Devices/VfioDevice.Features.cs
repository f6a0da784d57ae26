using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>DEVICE_FEATURE.</content>
public abstract partial class VfioDevice
{
    /// <summary>DEVICE_FEATURE with the kernel's structure, as it arrives at a device file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="argument">The structure, to be answered in place.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: the device has no such feature.</exception>
    internal int DeviceFeature(VfioDeviceFile file, Span<byte> argument) =>
        throw new VfioException(Errno.ENOTTY, $"DEVICE_FEATURE of {Name}", "the device has no features");
}
