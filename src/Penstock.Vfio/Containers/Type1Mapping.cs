namespace Penstock.Vfio;

/// <summary>One mapping of a type1 container.</summary>
internal sealed class Type1Mapping
{
    internal required ulong Iova { get; init; }

    internal required ulong Size { get; init; }

    internal required DmaAccess Access { get; init; }

    internal UserMemory? Memory { get; init; }

    internal ulong MemoryOffset { get; init; }

    internal ulong Last => Iova + (Size - 1);

    internal IovaRange Range => new(Iova, Last);
}
