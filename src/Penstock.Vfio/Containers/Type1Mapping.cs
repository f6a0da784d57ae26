namespace Penstock.Vfio;

/// <summary>One mapping of a type1 container.</summary>
internal sealed class Type1Mapping
{
    private List<UserMemory>? _former;

    internal required ulong Iova { get; init; }

    internal required ulong Size { get; init; }

    internal required DmaAccess Access { get; init; }

    /// <summary>What the user named.</summary>
    internal DmaSource Source { get; set; }

    /// <summary>The memory behind it, with a reference of the mapping.</summary>
    internal required UserMemory Memory { get; set; }

    internal ulong MemoryOffset { get; set; }

    /// <summary>Whether the memory is only a name for addresses that nobody has looked up.</summary>
    internal bool IsUnresolved { get; set; }

    /// <summary>Who is charged.</summary>
    internal required LockedMemoryAccount Account { get; set; }

    /// <summary>The limit of who is charged, in bytes; none for those who may lock what they like.</summary>
    internal ulong Limit { get; set; }

    /// <summary>Pages that are charged.</summary>
    internal ulong Charged { get; set; }

    /// <summary>Whether it is in the domains of real groups, which keep all of it pinned.</summary>
    internal bool IommuMapped { get; set; }

    internal bool VaddrInvalid { get; set; }

    internal Type1Pins? Pins { get; set; }

    /// <summary>Dirty pages, one bit each; only while tracking is on.</summary>
    internal ulong[]? Dirty { get; set; }

    internal ulong Last => Iova + (Size - 1);

    internal IovaRange Range => new(Iova, Last);

    internal ulong PinnedPages => Pins?.Pages ?? 0;

    /// <summary>Takes other memory, with the caller's reference. The old one stays as long as something in it is pinned.</summary>
    internal void Replace(UserMemory memory, ulong offset)
    {
        if (PinnedPages != 0)
        {
            (_former ??= []).Add(Memory);
        }
        else
        {
            Memory.Release();
        }

        Memory = memory;
        MemoryOffset = offset;
        IsUnresolved = false;
    }

    /// <summary>Nothing is pinned any more.</summary>
    internal void Unpinned()
    {
        Pins = null;
        _former?.ForEach(static m => m.Release());
        _former = null;
    }
}
