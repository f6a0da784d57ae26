namespace Penstock.Pci;

/// <summary>Why a function goes back to its initial state.</summary>
public enum PciResetKind
{
    /// <summary>The bus or the host resets it (DEVICE_RESET, first open).</summary>
    Bus,

    /// <summary>Function level reset through the Express or AF capability.</summary>
    FunctionLevel,

    /// <summary>Return from D3hot with soft reset.</summary>
    PowerManagement,

    /// <summary>Its last user has closed it: what came with that user's state, also what outlives resets, is none of the next one's.</summary>
    Close,
}
