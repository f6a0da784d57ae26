using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A mapping in a <see cref="MappingCache"/>, shared by everybody who uses a part of it.</summary>
internal sealed class MappedWindow
{
    internal MappedWindow() => IdlePlace = new LinkedListNode<MappedWindow>(this);

    internal required FileKey Key { get; init; }

    internal required ulong Start { get; init; }

    internal required ulong Length { get; init; }

    internal required MemoryMapping Mapping { get; init; }

    /// <summary>Seals of the file when it was mapped.</summary>
    internal required MemorySeals Seals { get; init; }

    /// <summary>The file, when it is kept to be passed on; guarded as <see cref="Users"/>, and not taken away while there is one.</summary>
    internal SharedDescriptor? File { get; set; }

    internal int Users { get; set; }

    /// <summary>The run of the cache's timer before which it lost its last user.</summary>
    internal long IdleRound { get; set; }

    /// <summary>Its place among the unused ones, whenever it is one.</summary>
    internal LinkedListNode<MappedWindow> IdlePlace { get; }
}
