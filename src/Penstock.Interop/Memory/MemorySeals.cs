namespace Penstock.Interop;

/// <summary>Seals of a memory file (F_SEAL_*): what nobody can do to it any more.</summary>
[Flags]
public enum MemorySeals
{
    /// <summary>No seal, or a file that has none.</summary>
    None = 0,

    /// <summary>No further seals.</summary>
    Seal = 1,

    /// <summary>The file cannot become smaller, so a mapped page cannot vanish.</summary>
    Shrink = 2,

    /// <summary>The file cannot become larger.</summary>
    Grow = 4,

    /// <summary>The file cannot be written.</summary>
    Write = 8,

    /// <summary>No new writable mappings.</summary>
    FutureWrite = 16,
}
