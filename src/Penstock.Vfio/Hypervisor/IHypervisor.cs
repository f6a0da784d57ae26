namespace Penstock.Vfio;

/// <summary>
/// A virtual machine, as far as VFIO knows one: something that devices keep alive while they are open. What it is beyond that, the
/// driver of a device finds out with a cast. Both members may be called from any thread.
/// </summary>
public interface IHypervisor
{
    /// <summary>
    /// Takes a reference, unless the machine is on its way out. Called with locks of VFIO held: it must not wait, and not call back.
    /// </summary>
    /// <returns>Whether there is one reference more; false means that the machine is dying and is to be treated as absent.</returns>
    bool TryAcquire();

    /// <summary>Drops a reference; the last one may end the machine in this call. Never called with a lock of VFIO held.</summary>
    void Release();
}
