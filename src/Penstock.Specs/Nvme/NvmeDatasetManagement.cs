namespace Penstock.Specs.Nvme;

/// <summary>Dataset management (NVM Express base specification 1.4, section 6.7).</summary>
public static class NvmeDatasetManagement
{
    /// <summary>Number of ranges minus one, in dword 10.</summary>
    public const uint RangesMask = 0xff;

    /// <summary>IDR in dword 11: a hint.</summary>
    public const uint IntegralRead = 1;

    /// <summary>IDW in dword 11: a hint.</summary>
    public const uint IntegralWrite = 2;

    /// <summary>AD in dword 11: deallocate the ranges.</summary>
    public const uint Deallocate = 4;
}
