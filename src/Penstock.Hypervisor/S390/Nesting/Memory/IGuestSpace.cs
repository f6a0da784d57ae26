using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>What the absolute addresses of a guest mean.</summary>
internal interface IGuestSpace
{
    /// <summary>Finds memory. Inside a scope, on any thread; no lock, no allocation, no throw.</summary>
    /// <param name="address">Guest address.</param>
    /// <param name="access">What will be done.</param>
    /// <param name="target">The memory, and how much of it follows.</param>
    /// <returns>None; EFAULT: there is none; EPERM: it may not be written.</returns>
    Errno Find(ulong address, DmaAccess access, out DmaTarget target);
}
