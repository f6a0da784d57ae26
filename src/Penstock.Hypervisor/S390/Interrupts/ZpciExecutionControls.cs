namespace Penstock.Hypervisor;

/// <summary>What a processor's control block lets firmware do for a guest with zPCI functions.</summary>
[Flags]
internal enum ZpciExecutionControls
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Loads and stores of functions (ECB2).</summary>
    LoadStore = 1,

    /// <summary>Suppression of adapter interruptions (ECB3, AISI).</summary>
    Suppression = 2,

    /// <summary>The guest's own instructions for that (ECB3, AISII).</summary>
    SuppressionInitiation = 4,

    /// <summary>Everything.</summary>
    All = LoadStore | Suppression | SuppressionInitiation,
}
