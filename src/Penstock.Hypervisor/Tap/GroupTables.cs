using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Switches a group between what its user has mapped and a domain that walks the guest's tables at each access. The user's mappings stay as they are meanwhile.
/// </summary>
internal sealed class GroupTables : ITapTarget, IDisposable
{
    private IommuGroup? _group;
    private TappedVm? _vm;
    private IommuDomain? _book;
    private GuestTablesDomain? _lent;

    /// <summary>Says whose tables lead where.</summary>
    public void Join(IommuGroup group, TappedVm vm)
    {
        _group = group;
        _vm = vm;
    }

    public string? Lend(RpcitPath path, IoatRegistration registration, TapChannel channel)
    {
        if (_group?.Domain is not { } book)
        {
            return "nobody uses the device";
        }

        if (!registration.Iota.HasTable)
        {
            return "the guest has registered no tables";
        }

        var domain = new GuestTablesDomain(_vm!.Memory.Slots[0].Memory, registration, path == RpcitPath.Nested ? channel : null);
        _group.Attach(domain);
        _book = book;
        _lent = domain;
        return null;
    }

    public void TakeBack()
    {
        // The user may be gone, and another one there.
        if (_lent is { } lent && _group!.Domain == lent)
        {
            _group.Attach(_book!);
        }

        _lent = null;
        _book = null;
    }

    public RpcitAnswer Refresh(ulong start, ulong length)
    {
        _lent?.Drain();
        return RpcitAnswer.Done;
    }

    public void DrainRing() => _lent?.Drain();

    public void Dispose() => TakeBack();

    /// <summary>Nothing is kept of the tables, so nothing is ever stale but what an access in progress has found.</summary>
    private sealed class GuestTablesDomain(UserMemory ram, IoatRegistration registration, TapChannel? ring) : TranslatingDomain
    {
        public override IovaRange Aperture => new(registration.Aperture.First, registration.Aperture.Last);

        public override ulong PageSizes => ZpciIoTable.PageSize;

        public override int Count => 0;

        public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset) => throw Lent("mapping");

        public override ulong Unmap(IovaRange range) => throw Lent("unmapping");

        protected override Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
        {
            target = default;
            if (!registration.Aperture.Contains(iova, 1))
            {
                return Errno.EFAULT;
            }

            ring?.MarkBusy();
            IoWalk walk = IoTableWalk.Walk(new FlatTableReader(ram.DirectAddress, ram.Length), registration.Iota, iova);
            if (walk.Fault != ZpciErrorEvent.None || !walk.IsValid || walk.Address >= ram.Length)
            {
                return Errno.EFAULT;
            }

            if (!walk.CanWrite && (access & DmaAccess.Write) != 0)
            {
                return Errno.EPERM;
            }

            target = new DmaTarget(ram, walk.Address, Math.Min(walk.Length, ram.Length - walk.Address));
            return Errno.None;
        }

        protected override void Dispose(bool disposing)
        {
        }

        private static VfioException Lent(string what) => new(Errno.EBUSY, what, "the guest's own tables are the translation");
    }
}
