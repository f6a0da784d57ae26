using Penstock.Interop;

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

    /// <summary>The mapping's log, for holds that write.</summary>
    internal DirtyLog? Log { get; init; }

    /// <summary>Offset of the first byte in the mapping.</summary>
    internal ulong LogOffset { get; init; }

    /// <summary>The port through which the hold was taken to write, if any: its device may be logged by the time the hold ends.</summary>
    internal DmaPort? Port { get; init; }

    /// <summary>I/O address of the first byte.</summary>
    internal ulong Iova { get; init; }

    /// <summary>Copies from the start of the held memory, or to it, and gives the hold back.</summary>
    internal Errno Copy(Span<byte> data, DmaAccess access, DmaTransfer transfer = default)
    {
        using (this)
        {
            return Memory.Copy(Offset, data, access, transfer);
        }
    }

    /// <summary>Gives the hold back. Call it once.</summary>
    public void Dispose()
    {
        // Only now is everything written that will be.
        Log?.Mark(LogOffset, Length);
        Port?.Written(Iova, Length);
        Memory?.Release();
    }
}
