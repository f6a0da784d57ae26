namespace Penstock.Vfio;

/// <summary>A direct access to a <see cref="VfioRegionMapping"/>, from <see cref="VfioRegionMapping.Enter"/> to its disposal.</summary>
public readonly unsafe ref struct RegionAccess
{
    private readonly ref long _place;
    private readonly long _sequence;
    private readonly RegionMemory _memory;

    internal RegionAccess(ref long place, long sequence, bool isAlive, RegionMemory memory)
    {
        _place = ref place;
        _sequence = sequence;
        _memory = memory;
        IsAlive = isAlive;
    }

    /// <summary>Whether the mapping works; it does so until the access ends.</summary>
    public bool IsAlive { get; }

    /// <summary>
    /// The mapped bytes, cut at 2 GiB; empty when the mapping does not work or its memory cannot be touched directly. A copy of a span has
    /// no order and no width: registers go through <see cref="Volatile"/> on single elements.
    /// </summary>
    // SAFETY: the mapping's reference keeps the memory, and the place keeps the mapping until the access ends.
    public Span<byte> Bytes => IsAlive && _memory.DirectAddress != 0
        ? new Span<byte>((byte*)_memory.DirectAddress, (int)Math.Min(_memory.Length, int.MaxValue))
        : default;

    /// <summary>Ends the access.</summary>
    public void Dispose() => ScopePlaces.Leave(ref _place, _sequence);
}
