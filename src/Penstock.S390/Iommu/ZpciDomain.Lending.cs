using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <content>Whose the tables are: their users', or lent to somebody who keeps them in step with a guest's.</content>
public sealed unsafe partial class ZpciDomain
{
    private const int Lent = -1;
    private const int Gone = -2;
    private const int Deciding = -3;

    // Users' calls in progress, or one of the above.
    private int _uses;
    private ZpciLoan? _loan;

    /// <summary>To whom the tables are lent; null while they are their users'. Users' maps and unmaps answer EBUSY meanwhile.</summary>
    public object? LentTo => Volatile.Read(ref _loan)?.To;

    /// <summary>Lends the tables, empty, after users' calls in progress. Nothing changes for the functions: attaching stays with the users.</summary>
    /// <param name="to">To whom.</param>
    /// <returns>The loan; disposing it returns the tables.</returns>
    /// <exception cref="VfioException">EBUSY: lent already, or something is mapped.</exception>
    public ZpciLoan Lend(object to)
    {
        ArgumentNullException.ThrowIfNull(to);
        if (!TryLeaveUsers(Deciding))
        {
            throw new VfioException(Errno.EBUSY, $"lending tables to {to}", "they are lent already, or gone");
        }

        if (Count != 0)
        {
            Volatile.Write(ref _uses, 0);
            throw new VfioException(Errno.EBUSY, $"lending tables to {to}", $"{Count} mappings are in them; unmap them first");
        }

        var loan = new ZpciLoan(this, to);
        Volatile.Write(ref _loan, loan);
        Volatile.Write(ref _uses, Lent);
        return loan;
    }

    internal void TakeBack()
    {
        // Entries that are being set are in a scope.
        WaitForScopes();
        var nothing = default(Ignored);
        _tables.Clear(Aperture, ref nothing);
        RefreshAll();
        WaitForScopes();
        _real.Clear();
        Volatile.Write(ref _loan, null);
        Volatile.Write(ref _uses, 0);
    }

    internal bool TryAddMemory(RealBank bank) => _real.TryAdd(bank);

    internal void RemoveMemory(ulong real)
    {
        if (_real.Find(real) is { } bank)
        {
            _real.Remove(bank);
        }
    }

    internal bool HasMemory(ulong real, bool writable) => _real.Find(real) is { } bank && real - bank.Base <= bank.Range.Last
        && (!writable || (bank.Access & DmaAccess.Write) != 0);

    internal Errno Exchange(ulong iova, ulong entry, out ulong previous) => _tables.Exchange(iova, entry, out previous);

    internal ulong Clear(ulong iova) => _tables.Clear(iova);

    internal void WaitForAccesses() => WaitForScopes();

    internal Errno Refresh(IovaRange range)
    {
        Errno errno = Errno.None;
        foreach (IZpciHostFunction function in Volatile.Read(ref _functions))
        {
            Errno answer = Refresh(function, range, ref _syncRefreshes);
            errno = errno == Errno.None ? answer : errno;
        }

        return errno;
    }

    private Use EnterAsUser<T>(T what)
    {
        int uses = Volatile.Read(ref _uses);
        var spin = default(SpinWait);
        while (true)
        {
            if (uses == Deciding)
            {
                spin.SpinOnce();
                uses = Volatile.Read(ref _uses);
                continue;
            }

            if (uses < 0)
            {
                throw uses == Lent
                    ? new VfioException(Errno.EBUSY, $"changing a translation ({what})", $"its tables are lent to {LentTo}")
                    : new VfioException(Errno.EINVAL, $"changing a translation ({what})", "the address space is gone");
            }

            int seen = Interlocked.CompareExchange(ref _uses, uses + 1, uses);
            if (seen == uses)
            {
                return new Use(this);
            }

            uses = seen;
        }
    }

    /// <summary>Takes the tables from the users when none of their calls is in progress.</summary>
    /// <returns>False: they are not the users'.</returns>
    private bool TryLeaveUsers(int state)
    {
        var spin = default(SpinWait);
        int uses;
        while ((uses = Interlocked.CompareExchange(ref _uses, state, 0)) != 0)
        {
            if (uses is Lent or Gone)
            {
                return false;
            }

            spin.SpinOnce();
        }

        return true;
    }

    private readonly ref struct Use(ZpciDomain domain)
    {
        public void Dispose() => Interlocked.Decrement(ref domain._uses);
    }

    private readonly struct Ignored : HostIoTables.ICleared
    {
        public void Cleared(ulong iova, ulong entry)
        {
        }
    }
}
