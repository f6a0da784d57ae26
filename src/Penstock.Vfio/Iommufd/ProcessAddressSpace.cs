using System.Globalization;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// The addresses of this process. Memory that is mapped into an I/O address space must stay where it is until it is unmapped there:
/// unlike a kernel, this process cannot keep pages that it gives back itself.
/// </summary>
public sealed class ProcessAddressSpace : IUserAddressSpace
{
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

        return ProcessMemory.Over((nint)address, length, access | DmaAccess.Read);
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
