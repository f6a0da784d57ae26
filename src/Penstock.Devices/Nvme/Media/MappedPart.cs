using System.Buffers;
using Penstock.Interop;

namespace Penstock.Devices;

/// <summary>Part of a mapping as memory that spans can be made of. The mapping must outlast it.</summary>
internal sealed unsafe class MappedPart(MemoryMapping mapping, nuint offset, int length) : MemoryManager<byte>
{
    private const int Longest = 1 << 30;

    /// <summary>Cuts a mapping into parts.</summary>
    internal static IReadOnlyList<Memory<byte>> Cut(MemoryMapping mapping)
    {
        var parts = new List<Memory<byte>>();
        for (nuint offset = 0; offset < mapping.Length; offset += Longest)
        {
            parts.Add(new MappedPart(mapping, offset, (int)Math.Min(mapping.Length - offset, Longest)).Memory);
        }

        return parts;
    }

    /// <inheritdoc/>
    // SAFETY: inside the mapping.
    public override Span<byte> GetSpan() => new(mapping.Pointer + offset, length);

    /// <inheritdoc/>
    // SAFETY: as in GetSpan; a mapping does not move.
    public override MemoryHandle Pin(int elementIndex = 0) => new(mapping.Pointer + offset + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }
}
