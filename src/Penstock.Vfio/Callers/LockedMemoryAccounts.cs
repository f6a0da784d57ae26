using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Locked pages of users and processes on a host. May be used from any thread.</summary>
internal sealed class LockedMemoryAccounts
{
    internal static readonly ulong PageSize = (ulong)Environment.SystemPageSize;

    private readonly ShortLock _gate = new();

    // Nothing bounds the sum for those who have no limit, so it is wider than what one charge can have.
    private readonly Dictionary<LockedMemoryAccount, UInt128> _pages = [];

    // The account that was asked for last, which is not among the others meanwhile: most often the next one is the same.
    private LockedMemoryAccount? _last;
    private UInt128 _lastPages;

    /// <summary>Pages charged to an account now; at most what the type can tell.</summary>
    internal ulong Charged(LockedMemoryAccount account)
    {
        using (_gate.Enter())
        {
            return ulong.CreateSaturating(Of(account));
        }
    }

    /// <summary>One line for people: who is charged for how many pages.</summary>
    public override string ToString()
    {
        using (_gate.Enter())
        {
            PutBack();
            return _pages.Count == 0 ? "nothing" : string.Join(", ", _pages.Select(static p => $"{p.Key}: {p.Value} pages"));
        }
    }

    /// <summary>Charges an account.</summary>
    /// <param name="account">The account.</param>
    /// <param name="pages">Pages to add.</param>
    /// <param name="limitInBytes">What it may have in all; the largest number, as RLIM_INFINITY, is no limit.</param>
    /// <exception cref="VfioException">ENOMEM: over the limit; nothing has changed.</exception>
    internal void Charge(LockedMemoryAccount account, ulong pages, ulong limitInBytes)
    {
        if (!TryCharge(account, pages, limitInBytes))
        {
            throw new VfioException(
                Errno.ENOMEM,
                $"locking {pages} pages",
                $"{account} has locked {Charged(account)} of {limitInBytes / PageSize} pages; raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK");
        }
    }

    /// <summary>As <see cref="Charge"/>, without a throw and, for an account that has something already, without an allocation.</summary>
    /// <returns>Whether it was charged.</returns>
    internal bool TryCharge(LockedMemoryAccount account, ulong pages, ulong limitInBytes)
    {
        using (_gate.Enter())
        {
            ref UInt128 charged = ref Of(account);
            if (limitInBytes != ulong.MaxValue && charged + pages > limitInBytes / PageSize)
            {
                return false;
            }

            charged += pages;
            return true;
        }
    }

    internal void Uncharge(LockedMemoryAccount account, ulong pages)
    {
        using (_gate.Enter())
        {
            Of(account) -= pages;
        }
    }

    /// <summary>What an account has. The gate is held.</summary>
    private ref UInt128 Of(LockedMemoryAccount account)
    {
        if (_last is not { } last || last != account)
        {
            PutBack();
            _pages.Remove(account, out _lastPages);
            _last = account;
        }

        return ref _lastPages;
    }

    private void PutBack()
    {
        if (_lastPages != 0)
        {
            _pages[_last!.Value] = _lastPages;
        }

        _lastPages = 0;
        _last = null;
    }
}
