namespace Penstock.Specs.Zpci;

/// <summary>Operations of the CLP command SET PCI FUNCTION.</summary>
public enum ZpciSetOperation : byte
{
    /// <summary>Enable the function.</summary>
    Enable = 0,

    /// <summary>Disable the function.</summary>
    Disable = 1,

    /// <summary>Enable loads and stores by address.</summary>
    EnableMio = 2,

    /// <summary>Disable loads and stores by address.</summary>
    DisableMio = 3,
}
