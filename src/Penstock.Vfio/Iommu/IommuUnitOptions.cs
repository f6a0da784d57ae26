namespace Penstock.Vfio;

/// <summary>Abilities of an IOMMU unit. The defaults are those of a translation in software, which can do everything.</summary>
public sealed class IommuUnitOptions
{
    /// <summary>I/O addresses that the unit can translate.</summary>
    public IovaRange Aperture { get; init; } = IovaRange.All;

    /// <summary>Supported page sizes, one bit each; the lowest bit is the smallest page.</summary>
    public ulong PageSizes { get; init; } = ~0xffful;

    /// <summary>Ranges that cannot be mapped for any group of the unit, such as a window for interrupt messages.</summary>
    public IReadOnlyList<IovaRange> Reserved { get; init; } = [];

    /// <summary>Whether a function can send only those interrupt messages that it was given.</summary>
    public bool IsolatedMsi { get; init; } = true;

    /// <summary>Whether DMA is coherent with the CPU's caches. Groups of a unit without it accept no devices.</summary>
    public bool CacheCoherent { get; init; } = true;

    /// <summary>Whether devices cannot ask for DMA that bypasses the CPU's caches. A machine that uses devices without it must be told.</summary>
    public bool EnforcesCoherency { get; init; } = true;

    /// <summary>Whether page tables can track what devices write.</summary>
    public bool DirtyTracking { get; init; } = true;

    /// <summary>How many bits the process address space ids of its devices have; 0 for none.</summary>
    public int PasidBits { get; init; }

    /// <summary>
    /// Makes, for each domain of the unit, what follows its mappings outside of this process; null when nothing does. Files that are mapped into
    /// this process then keep a descriptor, for the mirror to pass on.
    /// </summary>
    public Func<IDomainMirror>? CreateMirror { get; init; }

    /// <summary>
    /// Makes the domains of a unit whose platform has tables of its own; null for translation in software. Whoever asks the unit for a domain owns it.
    /// </summary>
    public Func<IommuUnit, TranslatingDomain>? CreateDomain { get; init; }

    /// <summary>Kinds of first-stage tables that users may nest on top of their page tables.</summary>
    public IReadOnlyList<NestedTranslation> NestedTranslations { get; init; } = [];

    /// <summary>Type of <see cref="HardwareInfo"/>; 0 when there is none.</summary>
    public uint HardwareInfoType { get; init; }

    /// <summary>What a user of nested tables has to know of the unit.</summary>
    public ReadOnlyMemory<byte> HardwareInfo { get; init; }
}
