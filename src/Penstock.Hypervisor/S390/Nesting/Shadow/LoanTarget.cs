using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>A shadow in the tables of a host's domain, which its users have lent.</summary>
internal sealed class LoanTarget : IShadowTarget
{
    private readonly ZpciLoan _loan;

    // Real address of each slot's first page; 0 while it has none.
    private ulong[] _bases = new ulong[4];

    internal LoanTarget(ZpciDomain domain, object to)
    {
        Domain = domain;
        _loan = domain.Lend(to);
    }

    public TranslatingDomain Domain { get; }

    public bool TrySet(ulong iova, PinnedSlot slot, ulong page, bool writable)
    {
        ulong first = slot.Id < _bases.Length ? _bases[slot.Id] : 0;
        if (first == 0 && (first = Add(slot)) == 0)
        {
            return false;
        }

        return _loan.SetEntry(iova, first + (page * ZpciIoTable.PageSize), writable, out _) == Errno.None;
    }

    public void Clear(ulong iova) => _loan.ClearEntry(iova);

    public void Refresh(ulong first, ulong last)
    {
        // What functions answer changes nothing: the entries are as they are.
        _loan.Refresh(new IovaRange(first, last));
        _loan.Wait();
    }

    public void Forget(PinnedSlot slot)
    {
        if (slot.Id < _bases.Length && _bases[slot.Id] != 0)
        {
            _loan.RemoveMemory(_bases[slot.Id]);
            _bases[slot.Id] = 0;
        }
    }

    public void Dispose() => _loan.Dispose();

    private ulong Add(PinnedSlot slot)
    {
        if (slot.Id >= _bases.Length)
        {
            Array.Resize(ref _bases, Math.Max(slot.Id + 1, _bases.Length * 2));
        }

        try
        {
            return _bases[slot.Id] = _loan.AddMemory(slot.Memory, slot.Offset, slot.Pages * ZpciIoTable.PageSize);
        }
        catch (VfioException)
        {
            return 0;
        }
    }
}
