namespace Penstock.Vfio;

/// <content>Devices that no IOMMU isolates.</content>
public sealed partial class VfioHost
{
    /// <summary>What the name of such a device starts with when it is opened by itself.</summary>
    private const string NoIommuPrefix = "noiommu-";

    /// <summary>
    /// What groups of devices without an IOMMU have for a unit, null unless <see cref="VfioHostOptions.NoIommu"/> allows them. Make a group
    /// of it for each such device. Whoever opens one must be allowed raw I/O. Nothing translates their DMA, and as the addresses would be
    /// the machine's own, this host carries none of it out.
    /// </summary>
    public IommuUnit? NoIommuUnit { get; }

    private IommuUnit? MakeNoIommuUnit()
    {
        if (!Options.NoIommu)
        {
            return null;
        }

        _drivers.Add(new NoIommuDriver());
        return new IommuUnit(this, "noiommu", new IommuUnitOptions { EnforcesCoherency = false }) { IsNoIommu = true };
    }

    private static string CdevNameOf(VfioDevice device) => device.Group is { IsNoIommu: true } ? NoIommuPrefix + device.Name : device.Name;

    private static void CheckRawIo(string what, IommuGroup group, Caller caller)
    {
        if (group.IsNoIommu && !caller.RawIo)
        {
            throw new VfioException(Interop.Errno.EPERM, what, $"{group} has no IOMMU, and the caller lacks CAP_SYS_RAWIO");
        }
    }
}
