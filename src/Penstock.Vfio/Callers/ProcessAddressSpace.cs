using System.Globalization;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// The addresses of this process. Memory that is mapped into an I/O address space must stay where it is until it is unmapped there:
/// unlike a kernel, this process cannot keep pages that it gives back itself.
/// </summary>
public sealed class ProcessAddressSpace : IUserAddressSpace
{
    private readonly Lock _gate = new();
    private readonly List<VfioRegionMapping> _mappings = [];

    /// <summary>
    /// Gives a mapping of a device's memory its address, as mmap(2) does: structures that name it then mean the device's memory.
    /// </summary>
    /// <param name="mapping">The mapping; forgotten when it is disposed.</param>
    /// <returns>Address of its first byte.</returns>
    /// <exception cref="VfioException">EINVAL: its memory cannot be touched directly, so it has no address.</exception>
    public ulong Map(VfioRegionMapping mapping)
    {
        ArgumentNullException.ThrowIfNull(mapping);
        if (mapping.Memory.DirectAddress == 0)
        {
            throw new VfioException(Errno.EINVAL, $"mapping region {mapping.Region}", "its memory has no address in this process");
        }

        lock (_gate)
        {
            _mappings.RemoveAll(static m => m.IsClosed);
            _mappings.Add(mapping);
        }

        return (ulong)mapping.Memory.DirectAddress;
    }

    /// <inheritdoc/>
    public Errno Read(ulong address, Span<byte> destination) => AddressCopy.Read(address, destination);

    /// <inheritdoc/>
    public Errno Write(ulong address, ReadOnlySpan<byte> source) => AddressCopy.Write(address, source);

    /// <inheritdoc/>
    public UserMemory Resolve(ulong address, ulong length, DmaAccess access)
    {
        string what = $"using memory at [0x{address:x}, +0x{length:x})";
        if (address == 0 || length == 0 || length - 1 > ulong.MaxValue - address || !Covers(address, address + (length - 1), access))
        {
            throw new VfioException(Errno.EFAULT, what, $"this process has not mapped all of it for {access}");
        }

        return (UserMemory?)DeviceMemory(address, length) ?? ProcessMemory.Over((nint)address, length, access | DmaAccess.Read);
    }

    private RegionMemory? DeviceMemory(ulong address, ulong length)
    {
        lock (_gate)
        {
            foreach (VfioRegionMapping mapping in _mappings)
            {
                ulong into = address - (ulong)mapping.Memory.DirectAddress;
                if (!mapping.IsClosed && into < mapping.Length && length <= mapping.Length - into)
                {
                    return new RegionMemory(mapping.Memory, into, length);
                }
            }
        }

        return null;
    }

    private static bool Covers(ulong first, ulong last, DmaAccess access)
    {
        // The list is in ascending order: "first-end rwxp offset device inode path".
        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            int dash = line.IndexOf('-', StringComparison.Ordinal);
            int blank = line.IndexOf(' ', StringComparison.Ordinal);
            ulong start = ulong.Parse(line.AsSpan(0, dash), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            ulong end = ulong.Parse(line.AsSpan(dash + 1, blank - dash - 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (end <= first)
            {
                continue;
            }

            if (start > first || line[blank + 1] != 'r' || ((access & DmaAccess.Write) != 0 && line[blank + 2] != 'w'))
            {
                return false;
            }

            if (end - 1 >= last)
            {
                return true;
            }

            first = end;
        }

        return false;
    }
}
