using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>Settings of a host's zPCI IOMMU.</summary>
public sealed record ZpciIommuOptions
{
    /// <summary>With which table translations start.</summary>
    public ZpciDesignationType Type { get; init; } = ZpciDesignationType.RegionThird;

    /// <summary>How often each page of the host's memory can be mapped for one function; 0: as often as the tables allow.</summary>
    public ulong ApertureFactor { get; init; } = 1;

    /// <summary>Memory of the host in bytes, for <see cref="ApertureFactor"/>.</summary>
    public ulong HostMemory { get; init; } = (ulong)GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Most bytes of tables for one domain; see <see cref="ZpciDomainSetup.TableMemory"/>.</summary>
    public ulong TableMemory { get; init; } = new ZpciDomainSetup().TableMemory;

    /// <summary>Whether functions can do without a translation, so that I/O addresses are real ones.</summary>
    public bool RelaxedTranslation { get; init; }

    /// <summary>Kinds of first-stage tables that users may nest on top of their page tables.</summary>
    public IReadOnlyList<NestedTranslation> NestedTranslations { get; init; } = [];
}
