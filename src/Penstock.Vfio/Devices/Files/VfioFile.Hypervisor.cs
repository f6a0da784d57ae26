namespace Penstock.Vfio;

/// <content>The machine that the file's user runs.</content>
public abstract partial class VfioFile
{
    private readonly Lock _hypervisorGate = new();
    private IHypervisor? _hypervisor;

    /// <summary>
    /// Says which machine the user of this file runs. A pointer, not a reference: whoever sets it takes it back before the machine goes. A
    /// device takes a reference from it at its first open, through its group's file or by the binding of its own; what is set later
    /// does not change an open device. Devices opened through a group look at the group's file only.
    /// </summary>
    /// <param name="machine">The machine; null for none. When this returns, no file asks the earlier one for a reference.</param>
    public void SetHypervisor(IHypervisor? machine)
    {
        lock (_hypervisorGate)
        {
            _hypervisor = machine;
        }
    }

    /// <summary>A reference to the machine; null when there is none, or when it is dying.</summary>
    internal IHypervisor? Lease()
    {
        lock (_hypervisorGate)
        {
            return _hypervisor is { } machine && machine.TryAcquire() ? machine : null;
        }
    }
}
