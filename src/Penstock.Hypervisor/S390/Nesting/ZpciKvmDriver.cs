using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Containers whose translations are a machine's (SET_IOMMU with <see cref="ZpciNesting.KvmOwnedContainer"/>): users of such a container map nothing; what the
/// guest registers for a function is followed. Register it with the host (<see cref="VfioHost.AddBackendDriver"/>). All members may be called from any thread.
/// </summary>
public sealed class ZpciKvmDriver : IommuBackendDriver
{
    private readonly ConcurrentDictionary<IommuGroup, ZpciKvmBackend> _backends = new();
    private readonly NestingMode _mode;

    /// <summary>Creates the driver.</summary>
    /// <param name="mode">How its containers nest.</param>
    public ZpciKvmDriver(NestingMode mode) => _mode = mode;

    /// <inheritdoc/>
    public override string Name => $"KVM-owned zPCI ({_mode})";

    /// <inheritdoc/>
    public override bool Reports(VfioIommuType extension) => (uint)extension == ZpciNesting.KvmOwnedContainer;

    /// <inheritdoc/>
    public override IommuBackend Open(VfioHost host, VfioIommuType type, Caller caller) => new ZpciKvmBackend(this, host, caller, _mode);

    /// <summary>The translation of a group in such a container, for whoever serves the guest's instructions.</summary>
    /// <param name="group">The group.</param>
    /// <returns>The translation; null: the group is in no such container, or no machine has opened a device of it yet. Then the VMM does it by itself.</returns>
    public INestedTranslation? Find(IommuGroup group) =>
        _backends.TryGetValue(group, out ZpciKvmBackend? backend) ? backend.Translation : null;

    /// <summary>Gives a container of this driver its machine; opening a device of it for a machine does so, too. Once for each container.</summary>
    /// <param name="group">A group in it.</param>
    /// <param name="machine">The machine.</param>
    /// <exception cref="VfioException">ENOENT: the group is in no such container; EBUSY: it has a machine already.</exception>
    public void AttachVm(IommuGroup group, IHypervisorVm machine)
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(machine);
        if (!_backends.TryGetValue(group, out ZpciKvmBackend? backend))
        {
            throw new VfioException(Errno.ENOENT, $"giving {group} a machine", "it is in no container of a machine's");
        }

        backend.AttachVm(machine);
    }

    internal void Added(IommuGroup group, ZpciKvmBackend backend) => _backends[group] = backend;

    internal void Removed(IommuGroup group) => _backends.TryRemove(group, out _);
}
