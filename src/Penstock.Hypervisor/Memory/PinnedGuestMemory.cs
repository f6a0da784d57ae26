using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>A stretch of guest memory that stays valid until it is disposed. May be used from any thread.</summary>
public sealed class PinnedGuestMemory : IDisposable
{
    private int _disposed;

    internal PinnedGuestMemory(UserMemory memory, ulong offset, ulong length)
    {
        Memory = memory;
        Offset = offset;
        Length = length;
    }

    /// <summary>The memory behind it.</summary>
    public UserMemory Memory { get; }

    /// <summary>Offset of its first byte in the memory.</summary>
    public ulong Offset { get; }

    /// <summary>Length in bytes.</summary>
    public ulong Length { get; }

    /// <summary>Address of its first byte in this process; 0 when the memory cannot be touched directly.</summary>
    public nint HostAddress => Memory.DirectAddress == 0 ? 0 : Memory.DirectAddress + (nint)Offset;

    /// <summary>Unpins.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Memory.Release();
        }
    }
}
