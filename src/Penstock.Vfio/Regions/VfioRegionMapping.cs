using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A user's mapping of part of a device's region, which he reads and writes without calling the device. The device can take it away at
/// any time, as a PCI device does when its memory is disabled, at resets and in D3: where a program would get SIGBUS, every accessor then
/// answers EFAULT. The mapping works again once the device allows it. It ends with <see cref="Dispose"/>, or when its file is closed.
/// Members may be called from any thread.
/// </summary>
public sealed class VfioRegionMapping : IDisposable
{
    private readonly VfioDevice _device;
    private readonly RegionMemory _memory;
    private int _closed;

    internal VfioRegionMapping(VfioDeviceFile file, uint region, ulong offset, RegionMemory memory)
    {
        File = file;
        Region = region;
        Offset = offset;
        _device = file.Device;
        _memory = memory;
        _device.Mappings.Add(this);
    }

    /// <summary>The file through which it was made.</summary>
    public VfioDeviceFile File { get; }

    /// <summary>Index of the region.</summary>
    public uint Region { get; }

    /// <summary>Offset of the first byte in the region.</summary>
    public ulong Offset { get; }

    /// <summary>Length in bytes.</summary>
    public ulong Length => _memory.Length;

    /// <summary>Whether an access would fail now.</summary>
    public bool IsRevoked => _device.Mappings.AreRevoked || IsClosed;

    internal bool IsClosed => Volatile.Read(ref _closed) != 0;

    /// <summary>
    /// The memory itself, to be mapped for the DMA of another device; it holds a reference as any memory does. An I/O mapping is not
    /// taken away with this one: as in hardware, the other device then reaches whatever is behind the address.
    /// </summary>
    public UserMemory Memory => _memory;

    /// <summary>Copies out of the device's memory.</summary>
    /// <param name="offset">First byte, from the mapping's start.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>None; EFAULT: taken away, closed, or past the end.</returns>
    public Errno Read(ulong offset, Span<byte> destination)
    {
        using RegionAccess access = Enter();
        return access.IsAlive ? _memory.Read(offset, destination) : Errno.EFAULT;
    }

    /// <summary>Copies into the device's memory; as <see cref="Read"/>.</summary>
    /// <param name="offset">First byte, from the mapping's start.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        using RegionAccess access = Enter();
        return access.IsAlive ? _memory.Write(offset, source) : Errno.EFAULT;
    }

    /// <summary>
    /// Begins a direct access. The device waits for its end before it takes the mapping away: keep it short, and call nothing inside
    /// that may wait. Dispose the result on the same thread.
    /// </summary>
    /// <returns>The access, which may find the mapping taken away.</returns>
    public RegionAccess Enter()
    {
        ref long place = ref _device.Mappings.Places.Enter(out long sequence);
        return new RegionAccess(ref place, sequence, !IsRevoked, _memory);
    }

    /// <summary>Unmaps. What was mapped for DMA stays until it is unmapped there.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0)
        {
            _device.Mappings.Places.WaitForOthers();
            _device.Mappings.Remove(this);
            _memory.Release();
        }
    }
}
