using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>PCI Express, version 2, for an endpoint (PCI Express 3.0, section 7.8): one lane at 2.5 GT/s, payloads of 128 bytes.</summary>
public sealed class ExpressCapability : PciCapability
{
    private readonly bool _functionLevelReset;

    /// <summary>Creates the capability.</summary>
    /// <param name="functionLevelReset">The function can be reset alone.</param>
    /// <param name="rootComplexIntegrated">The endpoint is part of the root complex and has no link.</param>
    public ExpressCapability(bool functionLevelReset = true, bool rootComplexIntegrated = false)
        : base(PciCapabilityId.Express, PciExpress.Length)
    {
        _functionLevelReset = functionLevelReset;
        int type = rootComplexIntegrated ? PciExpress.RootComplexEndpoint : PciExpress.Endpoint;
        Define(PciExpress.Capabilities, 2, PciExpress.Version2 | ((uint)type << PciExpress.PortTypeShift));
        Define(
            PciExpress.DeviceCapabilities,
            4,
            PciExpress.RoleBasedErrors | (functionLevelReset ? PciExpress.FunctionLevelReset : 0));
        Define(PciExpress.DeviceControl, 2, PciExpress.DeviceControlInitial, PciExpress.DeviceControlWritable);
        Define(PciExpress.DeviceStatus, 2, 0, 0, PciExpress.DeviceStatusErrors);
        Define(PciExpress.DeviceCapabilities2, 4, PciExpress.CompletionTimeoutDisable);
        Define(PciExpress.DeviceControl2, 2, 0, PciExpress.DeviceControl2Writable);
        if (!rootComplexIntegrated)
        {
            Define(PciExpress.LinkCapabilities, 4, PciExpress.LinkX1Gen1);
            Define(PciExpress.LinkControl, 2, 0, PciExpress.LinkControlWritable);
            Define(PciExpress.LinkStatus, 2, PciExpress.LinkX1Gen1);
            Define(PciExpress.LinkControl2, 2, PciExpress.LinkControl2Initial, PciExpress.LinkControl2Writable);
        }
    }

    /// <inheritdoc/>
    public override void ResetRestored()
    {
        // Device, link and root control are what the host saves; nothing else here can be written.
    }

    /// <inheritdoc/>
    public override void Write(int offset, ReadOnlySpan<byte> data)
    {
        base.Write(offset, data);

        // The reset bit is in the high byte and always reads 0.
        int high = PciExpress.DeviceControl + 1 - offset;
        if (_functionLevelReset && (uint)high < (uint)data.Length
            && ((data[high] << 8) & PciExpress.InitiateFunctionLevelReset) != 0)
        {
            Effects?.ResetRequested(PciResetKind.FunctionLevel);
        }
    }
}
