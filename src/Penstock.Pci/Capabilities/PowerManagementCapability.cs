using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>
/// Power management (PCI Power Management 1.2, section 3.2) without PME. In D3hot the BARs do not answer; the way back to D0 resets
/// the function unless it keeps its state.
/// </summary>
public sealed class PowerManagementCapability : PciCapability
{
    private readonly bool _noSoftReset;
    private readonly bool _d1;
    private readonly bool _d2;

    /// <summary>Creates the capability.</summary>
    /// <param name="noSoftReset">The function keeps its state from D3hot to D0.</param>
    /// <param name="d1">D1 exists.</param>
    /// <param name="d2">D2 exists.</param>
    public PowerManagementCapability(bool noSoftReset = false, bool d1 = false, bool d2 = false)
        : base(PciCapabilityId.PowerManagement, PciPowerManagement.Length)
    {
        _noSoftReset = noSoftReset;
        _d1 = d1;
        _d2 = d2;
        int states = (d1 ? PciPowerManagement.D1Support : 0) | (d2 ? PciPowerManagement.D2Support : 0);
        Define(PciPowerManagement.Capabilities, 2, (uint)(PciPowerManagement.Version3 | states));
        Define(PciPowerManagement.Control, 2, noSoftReset ? PciPowerManagement.NoSoftReset : 0u, PciPowerManagement.StateMask);
    }

    /// <summary>0 to 3 for D0 to D3hot.</summary>
    public int PowerState => (int)(Get(PciPowerManagement.Control, 2) & PciPowerManagement.StateMask);

    /// <inheritdoc/>
    public override void Write(int offset, ReadOnlySpan<byte> data)
    {
        int before = PowerState;
        base.Write(offset, data);
        int now = PowerState;
        if (now == before)
        {
            return;
        }

        if ((now == PciPowerManagement.D1 && !_d1) || (now == PciPowerManagement.D2 && !_d2))
        {
            // A write of a state that does not exist is accepted and changes nothing.
            uint rest = Get(PciPowerManagement.Control, 2) & ~(uint)PciPowerManagement.StateMask;
            Set(PciPowerManagement.Control, 2, rest | (uint)before);
            return;
        }

        if (before == PciPowerManagement.D3Hot && now == PciPowerManagement.D0 && !_noSoftReset)
        {
            Effects?.ResetRequested(PciResetKind.PowerManagement);
        }
        else
        {
            Effects?.PowerStateWritten();
        }
    }
}
