using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Pages that somebody locks on behalf of a user, charged against the user's limit (RLIMIT_MEMLOCK) together with what containers and iommufds have
/// locked for him. It remembers whom it charged: whoever gives pages back later need not be the same. All members may be called from any thread;
/// charging allocates nothing beyond the account's first entry.
/// </summary>
public sealed class LockedPages : IDisposable
{
    private readonly LockedMemoryAccounts _accounts;
    private readonly LockedMemoryAccount _account;
    private readonly ulong _limit;
    private long _count;

    /// <summary>Creates it with nothing charged.</summary>
    /// <param name="host">The host whose accounts are charged.</param>
    /// <param name="caller">On whose behalf: the account is that of all processes of his user.</param>
    /// <param name="evenIfPrivileged">Whether the limit is the caller's also when he may lock what he likes.</param>
    public LockedPages(VfioHost host, Caller caller, bool evenIfPrivileged = false)
    {
        ArgumentNullException.ThrowIfNull(host);
        ArgumentNullException.ThrowIfNull(caller);
        _accounts = host.LockedMemory;
        _account = new LockedMemoryAccount(caller.UserId, ProcessId: null);
        _limit = caller.LockMemory && !evenIfPrivileged ? ulong.MaxValue : caller.MemlockLimit;
        Ledger = host.Ledger;
    }

    /// <summary>Pages charged now, of <see cref="LockedMemoryPage"/> bytes.</summary>
    public long Count => Interlocked.Read(ref _count);

    /// <summary>Bytes of a page, as limits count them.</summary>
    public static ulong LockedMemoryPage => LockedMemoryAccounts.PageSize;

    /// <summary>Where the host counts pins.</summary>
    public ResourceLedger Ledger { get; }

    /// <summary>Charges for more pages.</summary>
    /// <param name="pages">How many.</param>
    /// <returns>None; ENOMEM: over the limit, and nothing has changed.</returns>
    public Errno Charge(long pages)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        if (pages != 0)
        {
            if (!_accounts.TryCharge(_account, (ulong)pages, _limit))
            {
                return Errno.ENOMEM;
            }

            Interlocked.Add(ref _count, pages);
        }

        return Errno.None;
    }

    /// <summary>Gives pages back to the account that was charged for them.</summary>
    /// <param name="pages">How many, of those charged.</param>
    public void Uncharge(long pages)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pages);
        if (pages != 0)
        {
            long left = Interlocked.Add(ref _count, -pages);
            ArgumentOutOfRangeException.ThrowIfNegative(left, nameof(pages));
            _accounts.Uncharge(_account, (ulong)pages);
        }
    }

    /// <summary>Gives back what is still charged.</summary>
    public void Dispose()
    {
        long left = Interlocked.Exchange(ref _count, 0);
        if (left > 0)
        {
            _accounts.Uncharge(_account, (ulong)left);
        }
    }
}
