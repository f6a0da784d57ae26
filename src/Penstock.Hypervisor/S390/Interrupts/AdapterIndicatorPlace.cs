namespace Penstock.Hypervisor;

/// <summary>Where a guest wants a function's interruptions indicated, as its FIB says (zPCI, function information block, format 0).</summary>
/// <param name="Vector">Guest address of the interrupt bit vector (AIBV).</param>
/// <param name="VectorOffset">Number of the bit of vector 0 in it (AIBVO).</param>
/// <param name="Count">Number of vectors (NOI), at least 1.</param>
/// <param name="Summary">Guest address of the summary bits (AISB); null when the guest wants none (SUM clear).</param>
/// <param name="SummaryOffset">Number of the function's summary bit there (AISBO).</param>
public readonly record struct AdapterIndicatorPlace(ulong Vector, int VectorOffset, int Count, ulong? Summary, int SummaryOffset);
