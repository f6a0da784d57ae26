using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A container's translation while it is a machine's. Groups are blocked until there is a machine, and see nothing until the guest
/// registers tables.
/// </summary>
internal sealed class ZpciKvmBackend(ZpciKvmDriver driver, VfioHost host, Caller caller, NestingMode mode) : IommuBackend
{
    private readonly Lock _gate = new();
    private readonly List<IommuGroup> _groups = [];
    private INestedTranslation? _translation;
    private ZpciDomain? _tables;

    public override ulong PageSizes => ZpciIoTable.PageSize;

    internal INestedTranslation? Translation => Volatile.Read(ref _translation);

    public override bool Reports(VfioIommuType extension) => driver.Reports(extension);

    public override void AttachGroup(IommuGroup group)
    {
        lock (_gate)
        {
            if (_groups.Exists(g => g.Unit != group.Unit))
            {
                throw new VfioException(Errno.EINVAL, $"attaching {group}", "a guest's tables are followed for the functions of one IOMMU unit; use another container");
            }

            if (_translation is not null)
            {
                group.Attach(_translation.Domain);
            }

            _groups.Add(group);
            driver.Added(group, this);
        }
    }

    public override void DetachGroup(IommuGroup group)
    {
        lock (_gate)
        {
            driver.Removed(group);
            group.Detach();
            _groups.Remove(group);
        }
    }

    public override void Release()
    {
        lock (_gate)
        {
            _translation?.Dispose();
            _translation = null;
            _tables?.Dispose();
            _tables = null;
        }
    }

    public override void Map(in DmaMapRequest request) =>
        throw new VfioException(Errno.EBUSY, "MAP_DMA", "the container's translation is lent to a machine, whose guest keeps it");

    public override ulong Unmap(in DmaUnmapRequest request) =>
        throw new VfioException(Errno.EBUSY, "UNMAP_DMA", "the container's translation is lent to a machine, whose guest keeps it");

    public override void DeviceOpened(VfioDevice device)
    {
        if (device.Hypervisor is IHypervisorVm machine && Translation is null)
        {
            AttachVm(machine);
        }
    }

    internal void AttachVm(IHypervisorVm machine)
    {
        lock (_gate)
        {
            if (_translation is not null)
            {
                throw new VfioException(Errno.EBUSY, "giving a container a machine", "it has one already");
            }

            INestedTranslation translation = Make(machine.Memory);
            int attached = 0;
            try
            {
                for (; attached < _groups.Count; attached++)
                {
                    _groups[attached].Attach(translation.Domain);
                }
            }
            catch
            {
                _groups.ForEach(static g => g.Detach());
                translation.Dispose();
                _tables?.Dispose();
                _tables = null;
                throw;
            }

            Volatile.Write(ref _translation, translation);
        }
    }

    private INestedTranslation Make(GuestMemory memory)
    {
        var payer = new LockedPages(host, caller);
        if (mode == NestingMode.Walked)
        {
            return new WalkedRefresh(memory, payer);
        }

        // The unit's own kind tells its functions of refreshes.
        TranslatingDomain made = _groups[0].Unit.CreateDomain();
        if (made is not ZpciDomain tables)
        {
            made.Dispose();
            tables = new ZpciDomain(new ZpciDomainSetup { Ledger = host.Ledger });
        }

        _tables = tables;
        return new ShadowRefresh(memory, payer, tables);
    }
}
