namespace Penstock.Specs.Nvme;

/// <summary>Events of type SMART (NVM Express base specification 1.4, section 5.2.1).</summary>
public enum NvmeAsyncSmartInfo : byte
{
    /// <summary>Reliability suffers.</summary>
    Reliability = 0,

    /// <summary>A temperature is beyond a threshold.</summary>
    Temperature = 1,

    /// <summary>The spare is below its threshold.</summary>
    Spare = 2,
}
