using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// The part of a hypervisor that ties zPCI functions to its machines, if there is one. Installed in the host's slot of this type. Both
/// members are called on the function's strand, while its device is opened and closed.
/// </summary>
public interface IZpciVmHook
{
    /// <summary>A device was opened by a machine's user.</summary>
    /// <param name="device">The device.</param>
    /// <param name="machine">The machine, alive until after <see cref="Unregister"/>.</param>
    /// <exception cref="VfioException">The open of the device fails with exactly this error; nothing is left behind.</exception>
    void Register(ZpciVfioPciDevice device, IHypervisor machine);

    /// <summary>The device is closed. Follows each successful <see cref="Register"/> once.</summary>
    /// <param name="device">The device.</param>
    void Unregister(ZpciVfioPciDevice device);
}
