namespace Penstock.Vfio;

/// <summary>How a user's file is used.</summary>
public enum MemoryUse
{
    /// <summary>Mapped and touched directly: <see cref="MappedMemory"/>.</summary>
    Borrow,

    /// <summary>Copied through the descriptor: <see cref="CopiedMemory"/>.</summary>
    Copy,
}
