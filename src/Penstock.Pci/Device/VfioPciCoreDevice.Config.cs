using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci;

public partial class VfioPciCoreDevice
{
    /// <summary>Whether memory BARs answer: not in D3hot, and decoding is on.</summary>
    protected bool IsMemoryEnabled =>
        (_config.Command & PciCommand.Memory) != 0 && !IsAsleep;

    private bool IsAsleep => _power is { PowerState: PciPowerManagement.D3Hot };

    private Errno ReadConfig(ulong offset, Span<byte> data, out int transferred)
    {
        try
        {
            return _config.Read(offset, data, out transferred);
        }
        catch (Exception e)
        {
            transferred = 0;
            return Contain(e, "read", VfioRegions.Config, offset);
        }
    }

    private Errno WriteConfig(ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        try
        {
            return _config.Write(offset, data, out transferred);
        }
        catch (Exception e)
        {
            transferred = 0;
            return Contain(e, "write", VfioRegions.Config, offset);
        }
    }

    /// <summary>Brings what depends on the command register and the power state in line with them.</summary>
    private void ApplyCommand()
    {
        PciCommand command = _config.Command;
        bool master = (command & PciCommand.BusMaster) != 0 && !IsAsleep;
        bool begins = master && !_isMaster;
        _isMaster = master;
        _port.Dma.BusMasterEnabled = master;
        _intx.SetPinDisabled((command & PciCommand.InterruptDisable) != 0);
        ApplyMemory();
        if (begins)
        {
            // What became pending under a mask or in STOP could not go out before.
            SendPendingMsi();
            SendPendingMsix();
        }
    }

    /// <summary>Users' mappings work while memory answers, and not while the function resets or may sleep.</summary>
    private void ApplyMemory()
    {
        if (IsMemoryEnabled && !_isResetting && !_maySleep)
        {
            RestoreMappings();
        }
        else
        {
            RevokeMappings();
        }
    }

    private sealed class Effects(VfioPciCoreDevice device) : IConfigEffects
    {
        public void CommandWritten() => device.ApplyCommand();

        public void PowerStateWritten() => device.ApplyCommand();

        public void ResetRequested(PciResetKind kind) => device.ResetFunction(kind);

        public void MsiMaskWritten() => device.SendPendingMsi();
    }
}
