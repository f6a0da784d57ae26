using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.RejectedDesigns;

/// <summary>
/// A device whose platform hook runs around the core, as was proposed first: at the end of enabling, when the device is set up, and at the beginning of closing,
/// when its user's state is still there. The platform switches the function off and on, which gives it a new handle and clears its command register.
/// </summary>
internal sealed class LatePlatformHook(ZpciFunction function, bool late, FakeFunction hardware) : VfioPciCoreDevice("0000:01:00.0", hardware, TestTopology.NewGroup())
{
    /// <summary>The handle with which the core set the device up.</summary>
    public uint HandleAtSetup { get; private set; }

    /// <summary>Whether vectors were in use when the platform switched the function off.</summary>
    public bool UsedVectorsAtDisable { get; private set; }

    public PciCommand Command
    {
        get => Config.Command;
        set => Config.Write(PciConfigOffsets.Command, [(byte)value, 0], out _);
    }

    public new void Open()
    {
        base.Open();

        // What setting up does last: decoding is on, and the handle is told.
        Command |= PciCommand.Memory;
        HandleAtSetup = function.Handle;
        if (late)
        {
            SwitchOn();
        }
    }

    public new void Close()
    {
        if (late)
        {
            SwitchOff();
        }

        base.Close();
    }

    public void Bind(in VfioIrqRequest request) => SetIrqs(request);

    protected override void EnablePlatform()
    {
        if (!late)
        {
            SwitchOn();
        }
    }

    protected override void DisablePlatform()
    {
        if (!late)
        {
            SwitchOff();
        }
    }

    private void SwitchOn()
    {
        function.Disable();
        function.Enable(designation: 1);
        Command = PciCommand.None;
    }

    private void SwitchOff()
    {
        UsedVectorsAtDisable = hardware.Port.UsesVectors;
        function.Disable();
        function.Enable(designation: 0);
    }
}
