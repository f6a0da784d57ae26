using Penstock.Interop;
using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.S390.Tests.RejectedDesigns;

/// <summary>Why platform hooks run inside enabling and disabling, and not around them.</summary>
public sealed class LatePlatformHookTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "S0-3")]
    public void Hook_AroundTheCore_LeavesAStaleHandleAndLosesConfiguration(bool late)
    {
        var function = new ZpciFunction(0x17, 3);
        using var device = new LatePlatformHook(function, late, TestDevice.FullFunction());
        using EventDescriptor vector = EventDescriptor.Create();
        device.Open();

        // Late: what the core has just set up belongs to a handle that is not valid any more, and its decoding is off again.
        Assert.Equal(late, device.HandleAtSetup != function.Handle);
        Assert.Equal(late ? PciCommand.None : PciCommand.Memory, device.Command);
        device.Bind(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Msix,
            Count = 1,
            Events = new[] { vector },
        });
        device.Close();

        // Early: the function is switched off while its user's vectors still name it.
        Assert.Equal(late, device.UsedVectorsAtDisable);
    }
}
