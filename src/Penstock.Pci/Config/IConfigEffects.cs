namespace Penstock.Pci;

/// <summary>What a write to configuration space sets off in the device around it. Called on the function's strand.</summary>
internal interface IConfigEffects
{
    /// <summary>The command register was written.</summary>
    void CommandWritten();

    /// <summary>The power state was written; it is already in force.</summary>
    void PowerStateWritten();

    /// <summary>Software asked for a reset through a capability.</summary>
    void ResetRequested(PciResetKind kind);

    /// <summary>Mask bits of MSI vectors were written: pending ones may go out now.</summary>
    void MsiMaskWritten();
}
