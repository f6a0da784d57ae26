namespace Penstock.Specs.Iommufd;

/// <summary>Limits and single values of iommufd (linux/iommufd.h and the behaviour of its calls).</summary>
public static class IommufdLimits
{
    /// <summary>An address or length that no call accepts, and the length that means "everything" in IOAS_UNMAP.</summary>
    public const ulong Everything = ulong.MaxValue;

    /// <summary>Largest id.</summary>
    public const uint LargestId = int.MaxValue;

    /// <summary>How often users of pins are asked before an unmap gives up.</summary>
    public const int UnmapRounds = 100;

    /// <summary>Most entries in one HWPT_INVALIDATE.</summary>
    public const uint InvalidateEntries = 1 << 19;

    /// <summary>Data type of a call without data.</summary>
    public const uint NoData = 0;

    /// <summary>Flag of HWPT_SET_DIRTY_TRACKING.</summary>
    public const uint DirtyTrackingEnable = 1;

    /// <summary>Flag of HWPT_GET_DIRTY_BITMAP.</summary>
    public const uint DirtyBitmapNoClear = 1;

    /// <summary>Alignment that automatic placement aims at, at most: a large page.</summary>
    public const ulong LargePage = 2 << 20;

    /// <summary>DMA_AVAIL of a container that is an iommufd: without a limit.</summary>
    public const uint CompatAvailable = uint.MaxValue;
}
