using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>What a domain is made with.</summary>
public sealed record ZpciDomainSetup
{
    /// <summary>With which table the translation starts.</summary>
    public ZpciDesignationType Type { get; init; } = ZpciDesignationType.RegionThird;

    /// <summary>Most bytes of tables; past them a map fails with ENOMEM. Tables stay until the domain goes, also when nothing is mapped any more.</summary>
    public ulong TableMemory { get; init; } = 256 << 20;

    /// <summary>Where native memory is counted, if anywhere.</summary>
    public ResourceLedger? Ledger { get; init; }

    /// <summary>The functions of a group; null when the domain serves none that have to be told.</summary>
    public Func<IommuGroup, IReadOnlyList<IZpciHostFunction>>? FunctionsOf { get; init; }
}
