namespace Penstock.Specs.Nvme;

/// <summary>Numbers of the specification that are neither offsets nor codes (NVM Express base specification 1.4).</summary>
public static class NvmeLimits
{
    /// <summary>Page with CC.MPS 0, in bytes.</summary>
    public const int PageSize = 4096;

    /// <summary>Log2 of <see cref="PageSize"/>.</summary>
    public const int PageShift = 12;

    /// <summary>Bytes that Identify answers (section 5.15).</summary>
    public const int IdentifySize = 4096;

    /// <summary>NSID that means all namespaces (section 6.1.2).</summary>
    public const uint AllNamespaces = 0xffffffff;

    /// <summary>Largest NSID after which a namespace list may be asked for (section 5.15).</summary>
    public const uint LastNamespaceListStart = 0xfffffffd;

    /// <summary>Entries of a namespace list (section 4.10).</summary>
    public const int NamespaceListEntries = 1024;

    /// <summary>Fewest entries of a queue (section 4.1.3).</summary>
    public const int MinimumQueueEntries = 2;

    /// <summary>Most entries of an admin queue (section 4.1.3).</summary>
    public const int MaximumAdminQueueEntries = 4096;

    /// <summary>Most ranges of dataset management (section 6.7).</summary>
    public const int DatasetRanges = 256;

    /// <summary>Queue pairs whose doorbells fill a page with CAP.DSTRD 0 (section 3.1.24).</summary>
    public const int DoorbellPageQueues = 512;

    /// <summary>Bytes of a PRP entry (section 4.3).</summary>
    public const int PrpEntrySize = 8;

    /// <summary>A number of queues that may not be asked for (section 5.21.1.7).</summary>
    public const uint InvalidQueueCount = 0xffff;

    /// <summary>Bytes of a data unit in the SMART log (section 5.14.1.2).</summary>
    public const int DataUnitBytes = 512000;

    /// <summary>Parameter location of an error that belongs to no field (section 5.14.1.1).</summary>
    public const int ErrorParameterUnknown = 0xffff;

    /// <summary>Command set identifier of the NVM command set (2.0, section 3.1.3.4).</summary>
    public const byte NvmCommandSetId = 0;
}
