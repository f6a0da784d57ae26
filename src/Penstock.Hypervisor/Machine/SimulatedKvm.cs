using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A hypervisor without a processor's help, for tests and for guests that run elsewhere: what its machines share. All members may be called
/// from any thread.
/// </summary>
public sealed class SimulatedKvm
{
    /// <summary>Creates a hypervisor without machines.</summary>
    /// <param name="host">The host whose devices its machines get.</param>
    /// <param name="s390">What it has on an s390 host; null on any other. It is the caller's to dispose, after the machines.</param>
    public SimulatedKvm(VfioHost host, S390Hypervisor? s390 = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        Host = host;
        S390 = s390;
    }

    /// <summary>The host whose devices its machines get.</summary>
    public VfioHost Host { get; }

    /// <summary>What it has on an s390 host; null on any other.</summary>
    public S390Hypervisor? S390 { get; }

    /// <summary>Creates a machine.</summary>
    /// <param name="options">What it has; null for everything.</param>
    /// <param name="memory">What addresses in its user's structures mean; null for those of this process.</param>
    /// <param name="files">What descriptors in its user's structures mean; null for those of this process.</param>
    /// <returns>The machine's handle.</returns>
    public SimulatedVm CreateVm(SimulatedVmOptions? options = null, IUserAddressSpace? memory = null, IUserFiles? files = null) =>
        new(this, options ?? new SimulatedVmOptions(), memory ?? new ProcessAddressSpace(), files ?? new UserFiles());
}
