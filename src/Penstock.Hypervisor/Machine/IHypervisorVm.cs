using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>A virtual machine as the parts see it that serve its devices. All members may be called from any thread.</summary>
public interface IHypervisorVm : IHypervisor
{
    /// <summary>The guest's memory.</summary>
    GuestMemory Memory { get; }

    /// <summary>The guest's interrupts.</summary>
    IInterruptSink Interrupts { get; }
}
