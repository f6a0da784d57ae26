using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>
/// How a guest's RPCIT for one function becomes translations of the device: page by page through the VMM, or by tables that follow the
/// guest's. All modes give the guest the same answers. Calls come one at a time; disposing deregisters.
/// </summary>
public interface IRefreshMode : IDisposable
{
    /// <summary>Name of the mode, as options spell it.</summary>
    string Name { get; }

    /// <summary>The guest has registered its tables (MPCIFC), and nothing is registered. The caller has checked the registration.</summary>
    /// <param name="registration">What it registered.</param>
    /// <returns>None, or an errno that the guest is to see as insufficient resources; then nothing is registered.</returns>
    Errno Register(IoatRegistration registration);

    /// <summary>The registration ends, in whichever way; all translations are gone when this returns. Without effect when nothing is registered.</summary>
    void Deregister();

    /// <summary>RPCIT of the function, which is enabled and not in error.</summary>
    /// <param name="start">First address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>What the guest gets to see.</returns>
    RpcitAnswer Refresh(ulong start, ulong length);
}
