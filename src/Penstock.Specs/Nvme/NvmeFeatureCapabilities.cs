namespace Penstock.Specs.Nvme;

/// <summary>Answer to <see cref="NvmeFeatureSelect.Capabilities"/> (NVM Express base specification 1.4, section 5.9).</summary>
[Flags]
public enum NvmeFeatureCapabilities : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Can be saved.</summary>
    Saveable = 1,

    /// <summary>Is one of a namespace.</summary>
    NamespaceSpecific = 2,

    /// <summary>Can be changed.</summary>
    Changeable = 4,
}
