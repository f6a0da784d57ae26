using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// Memory that a driver shares with its device: a memory file, mapped here and in the device's address space. Members may be called from any
/// thread; what is in the memory is between the driver and the device.
/// </summary>
public sealed unsafe class DmaMemory : IDisposable
{
    private const ulong Page = 4096;

    private readonly DmaAddressSpace _space;
    private readonly MappedMemory _memory;
    private int _disposed;

    internal DmaMemory(DmaAddressSpace space, ulong size, string name, DmaAccess access)
    {
        ArgumentOutOfRangeException.ThrowIfZero(size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, (ulong)long.MaxValue - Page);
        Size = (size + Page - 1) & ~(Page - 1);
        _space = space;

        // Sealed, so that a device in another process may trust that no page goes away.
        using (MemoryFile file = MemoryFile.Create(name, Size, MemorySeals.Shrink | MemorySeals.Grow))
        {
            _memory = MappedMemory.Create(space.Host.Mappings, file.Descriptor, 0, Size);
        }

        try
        {
            Iova = space.Map(_memory, Size, access);
        }
        catch
        {
            _memory.Release();
            throw;
        }
    }

    /// <summary>Where the device finds it.</summary>
    public ulong Iova { get; }

    /// <summary>Size in bytes.</summary>
    public ulong Size { get; }

    /// <summary>Where this process finds it. Valid until it is disposed.</summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    // SAFETY: nothing is read here; whoever does keeps the object alive and inside Size.
    public byte* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
            return (byte*)_memory.DirectAddress;
        }
    }

    /// <summary>
    /// The bytes; only for memory below 2 GiB. Copies of spans have no order: words by which driver and device tell each other something are
    /// written and read one by one, with <see cref="Volatile"/>.
    /// </summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    // SAFETY: inside the mapping, which lives as long as this object.
    public Span<byte> Bytes => new(Pointer, checked((int)Size));

    /// <summary>Unmaps it; when this returns the device does not reach it any more. The device must not have been told to use it later.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        try
        {
            _space.Unmap(Iova, Size);
        }
        catch (VfioException)
        {
            // The address space has gone, and with it the mapping.
        }

        _memory.Release();
    }
}
