namespace Penstock.Specs.Nvme;

/// <summary>The page of changed namespaces (NVM Express base specification 1.4, section 5.14.1.4).</summary>
public static class NvmeChangedNamespaceLog
{
    /// <summary>Length of the page in bytes: 4 for each namespace.</summary>
    public const int Length = 4096;

    /// <summary>First entry when there are more than fit.</summary>
    public const uint Many = 0xffffffff;
}
