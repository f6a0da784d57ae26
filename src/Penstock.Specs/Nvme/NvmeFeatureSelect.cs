namespace Penstock.Specs.Nvme;

/// <summary>SEL of Get Features (NVM Express base specification 1.4, section 5.9).</summary>
public enum NvmeFeatureSelect : byte
{
    /// <summary>The value in force.</summary>
    Current = 0,

    /// <summary>The value after a reset.</summary>
    Default = 1,

    /// <summary>The value that was saved.</summary>
    Saved = 2,

    /// <summary>What can be done with it: <see cref="NvmeFeatureCapabilities"/>.</summary>
    Capabilities = 3,
}
