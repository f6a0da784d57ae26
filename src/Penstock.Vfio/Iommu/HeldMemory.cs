namespace Penstock.Vfio;

/// <summary>A counted hold on part of a user's memory.</summary>
public readonly struct HeldMemory : IDisposable
{
    internal HeldMemory(UserMemory memory, ulong offset, ulong length)
    {
        Memory = memory;
        Offset = offset;
        Length = length;
    }

    /// <summary>The memory.</summary>
    public UserMemory Memory { get; }

    /// <summary>Offset of the first byte in the memory.</summary>
    public ulong Offset { get; }

    /// <summary>Length in bytes; it may be shorter than asked.</summary>
    public ulong Length { get; }

    /// <summary>Gives the hold back. Call it once.</summary>
    public void Dispose() => Memory?.Release();
}
