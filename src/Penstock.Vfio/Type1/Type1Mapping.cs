namespace Penstock.Vfio;

/// <summary>
/// One mapping of a type1 container. There may be very many, so what few of them have is kept aside; and they come and go, so that the object of one
/// that has gone is taken again for the next.
/// </summary>
internal sealed class Type1Mapping
{
    private Rare? _rare;

    internal ulong Iova { get; private set; }

    internal ulong Size { get; private set; }

    internal DmaAccess Access { get; private set; }

    /// <summary>The memory behind it, with a reference of the mapping.</summary>
    internal UserMemory Memory { get; private set; } = null!;

    internal ulong MemoryOffset { get; private set; }

    /// <summary>The user's address space, when an address in it was named.</summary>
    internal IUserAddressSpace? Space { get; set; }

    /// <summary>What the user gave for the first byte: its address, or its offset in the memory.</summary>
    internal ulong Address { get; set; }

    /// <summary>Whether the memory is only a name for addresses that nobody has looked up.</summary>
    internal bool IsUnresolved { get; set; }

    /// <summary>Who is charged.</summary>
    internal Type1Payer Payer { get; set; } = null!;

    /// <summary>Pages that are charged.</summary>
    internal ulong Charged { get; set; }

    /// <summary>Whether it is in the domains of real groups, which keep all of it pinned.</summary>
    internal bool IommuMapped { get; set; }

    internal bool VaddrInvalid { get; set; }

    /// <summary>The next one that is free, as long as this one is.</summary>
    internal Type1Mapping? NextFree { get; private set; }

    internal Type1Pins? Pins
    {
        get => _rare?.Pins;
        set => (_rare ??= new Rare()).Pins = value;
    }

    /// <summary>Dirty pages, one bit each, while tracking is on; without it then everything is dirty.</summary>
    internal ulong[]? Dirty
    {
        get => _rare?.Dirty;
        set => (_rare ??= new Rare()).Dirty = value;
    }

    internal ulong Last => Iova + (Size - 1);

    internal IovaRange Range => new(Iova, Last);

    internal ulong PinnedPages => _rare?.Pins?.Pages ?? 0;

    /// <summary>Becomes a mapping of what a request names.</summary>
    internal void Begin(in DmaMapRequest request, UserMemory memory, ulong offset, Type1Payer payer)
    {
        NextFree = null;
        Iova = request.Iova;
        Size = request.Size;
        Access = request.Access;
        Space = request.Source.Space;
        Address = request.Source.Address;
        Memory = memory;
        MemoryOffset = offset;
        IsUnresolved = request.Source.Memory is null;
        Payer = payer;
        Charged = 0;
        IommuMapped = false;
        VaddrInvalid = false;
    }

    /// <summary>Is a mapping no more, and nobody's: whoever may still look at it must not do this.</summary>
    internal void End(Type1Mapping? nextFree)
    {
        _rare = null;
        Space = null;
        Memory = null!;
        Payer = null!;
        NextFree = nextFree;
    }

    /// <summary>Takes other memory, with the caller's reference. The old one stays as long as something in it is pinned.</summary>
    internal void Replace(UserMemory memory, ulong offset)
    {
        if (PinnedPages != 0)
        {
            _rare!.Former.Add(Memory);
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
        _rare!.Pins = null;
        _rare.Former.ForEach(static m => m.Release());
        _rare.Former.Clear();
    }

    private sealed class Rare
    {
        internal Type1Pins? Pins { get; set; }

        internal ulong[]? Dirty { get; set; }

        internal List<UserMemory> Former { get; } = [];
    }
}
