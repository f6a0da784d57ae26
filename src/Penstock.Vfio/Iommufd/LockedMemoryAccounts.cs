using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Locked pages of users and processes on a host. May be used from any thread.</summary>
internal sealed class LockedMemoryAccounts
{
    internal static readonly ulong PageSize = (ulong)Environment.SystemPageSize;

    private readonly Lock _gate = new();
    private readonly Dictionary<LockedMemoryAccount, ulong> _pages = [];

    /// <summary>Pages charged to an account now.</summary>
    internal ulong Charged(LockedMemoryAccount account)
    {
        lock (_gate)
        {
            return _pages.GetValueOrDefault(account);
        }
    }

    /// <summary>One line for people: who is charged for how many pages.</summary>
    public override string ToString()
    {
        lock (_gate)
        {
            return _pages.Count == 0 ? "nothing" : string.Join(", ", _pages.Select(static p => $"{p.Key}: {p.Value} pages"));
        }
    }

    internal void Charge(LockedMemoryAccount account, ulong pages, ulong limitInBytes)
    {
        lock (_gate)
        {
            ulong charged = _pages.GetValueOrDefault(account);
            ulong limit = limitInBytes / PageSize;
            if (charged > limit || pages > limit - charged)
            {
                throw new VfioException(
                    Errno.ENOMEM,
                    $"locking {pages} pages",
                    $"{account} has locked {charged} of {limit} pages; raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK");
            }

            _pages[account] = charged + pages;
        }
    }

    internal void Uncharge(LockedMemoryAccount account, ulong pages)
    {
        lock (_gate)
        {
            ulong left = _pages[account] - pages;
            if (left == 0)
            {
                _pages.Remove(account);
            }
            else
            {
                _pages[account] = left;
            }
        }
    }
}
