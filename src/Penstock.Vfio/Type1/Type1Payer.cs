namespace Penstock.Vfio;

/// <summary>Who is charged for mappings: an account, and the limit that its owner had when he mapped.</summary>
internal sealed class Type1Payer
{
    internal Type1Payer(Caller caller)
    {
        Caller = caller;
        Account = LockedMemoryAccount.OfProcess(caller);
        Limit = caller.LockMemory ? ulong.MaxValue : caller.MemlockLimit;
    }

    internal Caller Caller { get; }

    internal LockedMemoryAccount Account { get; }

    /// <summary>The limit in bytes; none for those who may lock what they like.</summary>
    internal ulong Limit { get; }
}
