namespace Penstock.Vfio;

/// <content>Devices without hardware behind them.</content>
public sealed partial class VfioHost
{
    // What emulated groups have for a unit, so that every group has one. It demands nothing, and is not among the host's units.
    private readonly IommuUnit _emulated;

    /// <summary>
    /// Registers a device that does no DMA through an IOMMU, such as a mediated one. It gets a group of its own, which goes with it; what
    /// users of real groups need of their IOMMU, cache coherence above all, is not asked for.
    /// </summary>
    /// <param name="device">The device.</param>
    /// <returns>The group.</returns>
    /// <exception cref="VfioException">EINVAL: registered already, or it is behind an IOMMU; the driver's own errors.</exception>
    public IommuGroup RegisterEmulated(VfioDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        lock (_registration)
        {
            IommuGroup group = _emulated.AddGroup();
            try
            {
                Enter($"registering {device.Name}", device, group);
                return group;
            }
            catch
            {
                _emulated.Forget(group);
                throw;
            }
        }
    }

    private IommuUnit EmulatedUnit() => new(this, "emulated", new IommuUnitOptions { EnforcesCoherency = false }) { IsEmulated = true };
}
