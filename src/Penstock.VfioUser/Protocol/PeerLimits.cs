using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>What a peer said in VERSION that it accepts; the protocol's defaults where it said nothing.</summary>
public readonly record struct PeerLimits
{
    /// <summary>The protocol's defaults.</summary>
    public PeerLimits()
    {
    }

    /// <summary>Descriptors in one message.</summary>
    public int MaximumDescriptors { get; init; } = VfioUserLimits.DefaultMaximumDescriptors;

    /// <summary>Data bytes in one message.</summary>
    public int MaximumTransfer { get; init; } = VfioUserLimits.DefaultMaximumTransfer;

    /// <summary>Maps at one time.</summary>
    public int MaximumDmaMaps { get; init; } = VfioUserLimits.DefaultMaximumDmaMaps;

    /// <summary>Page sizes of its I/O address space, as a mask.</summary>
    public ulong PageSizes { get; init; } = VfioUserLimits.DefaultPageSizes;

    /// <summary>Page size of its dirty bitmaps; 0 when it did not speak of migration.</summary>
    public ulong MigrationPageSize { get; init; }

    /// <summary>Longest dirty bitmap that it takes, in bytes.</summary>
    public ulong MaximumBitmap { get; init; } = VfioUserLimits.DefaultMaximumBitmap;

    /// <summary>Whether it takes several short writes in one message.</summary>
    public bool WriteMultiple { get; init; }

    /// <summary>Whether commands of the server may have a socket of their own; in a reply, whether they have.</summary>
    public bool TwinSocket { get; init; }

    /// <summary>In a reply, which descriptor of the message is that socket; null when it does not say.</summary>
    public int? TwinSocketIndex { get; init; }

    /// <summary>Whether it takes regions with a descriptor for each area (<c>sparse_mmap_fds</c>, a draft of the text).</summary>
    public bool SparseMmapDescriptors { get; init; }
}
