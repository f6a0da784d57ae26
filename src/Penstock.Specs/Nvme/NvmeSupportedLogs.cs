namespace Penstock.Specs.Nvme;

/// <summary>The page of supported log pages (NVM Express base specification 2.0, section 5.16.1.1).</summary>
public static class NvmeSupportedLogs
{
    /// <summary>Length of the page in bytes: 4 for each log.</summary>
    public const int Length = 1024;

    /// <summary>LSUPP: the page is there.</summary>
    public const uint Supported = 1;
}
