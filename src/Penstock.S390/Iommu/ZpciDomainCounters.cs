namespace Penstock.S390;

/// <summary>What a domain has done so far.</summary>
/// <param name="MappedPages">Pages mapped.</param>
/// <param name="UnmappedPages">Pages unmapped.</param>
/// <param name="GlobalRefreshes">Refreshes of everything.</param>
/// <param name="SyncMapRefreshes">Refreshes after maps.</param>
/// <param name="SyncRefreshes">Refreshes after unmaps.</param>
public readonly record struct ZpciDomainCounters(long MappedPages, long UnmappedPages, long GlobalRefreshes, long SyncMapRefreshes, long SyncRefreshes);
