using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A counted hold on part of a user's memory.</summary>
public readonly struct HeldMemory : IDisposable
{
    private readonly DirtyLog? _log;
    private readonly ulong _logOffset;

    internal HeldMemory(UserMemory memory, ulong offset, ulong length, DirtyLog? log = null, ulong logOffset = 0)
    {
        Memory = memory;
        Offset = offset;
        Length = length;
        _log = log;
        _logOffset = logOffset;
    }

    /// <summary>The memory.</summary>
    public UserMemory Memory { get; }

    /// <summary>Offset of the first byte in the memory.</summary>
    public ulong Offset { get; }

    /// <summary>Length in bytes; it may be shorter than asked.</summary>
    public ulong Length { get; }

    /// <summary>Copies from the start of the held memory, or to it, and gives the hold back.</summary>
    internal Errno Copy(Span<byte> data, DmaAccess access)
    {
        using (this)
        {
            return access == DmaAccess.Read ? Memory.Read(Offset, data) : Memory.Write(Offset, data);
        }
    }

    /// <summary>Gives the hold back. Call it once.</summary>
    public void Dispose()
    {
        // Only now is everything written that will be.
        _log?.Mark(_logOffset, Length);
        Memory?.Release();
    }
}
