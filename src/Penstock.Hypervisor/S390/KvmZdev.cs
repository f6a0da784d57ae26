using Penstock.Pci;

namespace Penstock.Hypervisor;

/// <summary>
/// The tie between a zPCI function and a machine, from the open of the device by the machine's user until its close. It belongs to the
/// hypervisor; the device knows nothing of it. Immutable.
/// </summary>
public sealed class KvmZdev
{
    internal KvmZdev(ZpciVfioPciDevice device, ZpciFunction function, SimulatedVm machine, bool isInterpreted)
    {
        Device = device;
        Function = function;
        Machine = machine;
        IsInterpreted = isInterpreted;
    }

    /// <summary>The device.</summary>
    public ZpciVfioPciDevice Device { get; }

    /// <summary>Its zPCI side.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The machine.</summary>
    public SimulatedVm Machine { get; }

    /// <summary>Whether firmware accepts the guest's instructions for it: the function was enabled with the machine's designation.</summary>
    public bool IsInterpreted { get; }
}
