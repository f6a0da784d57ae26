using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>Neighbouring pages that lead to neighbouring addresses, or that lead nowhere because of entries of one level.</summary>
internal readonly record struct TableRun(ulong First, ulong Last, bool IsValid, ulong Address, bool CanWrite, ZpciTableLevel Level)
{
    public bool Has(ulong iova) => iova >= First && iova <= Last;
}
