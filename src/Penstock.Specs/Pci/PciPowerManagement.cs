namespace Penstock.Specs.Pci;

/// <summary>Power management capability (PCI Power Management 1.2, section 3.2).</summary>
public static class PciPowerManagement
{
    /// <summary>Length in bytes.</summary>
    public const int Length = 8;

    /// <summary>Capabilities register, 2 bytes.</summary>
    public const int Capabilities = 2;

    /// <summary>Version 1.2 of the specification, in the capabilities register.</summary>
    public const ushort Version3 = 0x0003;

    /// <summary>D1 exists, in the capabilities register.</summary>
    public const ushort D1Support = 0x0200;

    /// <summary>D2 exists, in the capabilities register.</summary>
    public const ushort D2Support = 0x0400;

    /// <summary>Control and status register, 2 bytes.</summary>
    public const int Control = 4;

    /// <summary>Power state, in the control register.</summary>
    public const ushort StateMask = 0x0003;

    /// <summary>The state value of D0.</summary>
    public const int D0 = 0;

    /// <summary>The state value of D1.</summary>
    public const int D1 = 1;

    /// <summary>The state value of D2.</summary>
    public const int D2 = 2;

    /// <summary>The state value of D3hot.</summary>
    public const int D3Hot = 3;

    /// <summary>The function keeps its state on the way from D3hot to D0, in the control register.</summary>
    public const ushort NoSoftReset = 0x0008;
}
