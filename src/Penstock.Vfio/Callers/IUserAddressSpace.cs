using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// What the addresses in a caller's structures mean. Everything that a call reads or writes behind a pointer goes through this, so a bad
/// pointer is EFAULT. Members may be called from any thread.
/// </summary>
public interface IUserAddressSpace
{
    /// <summary>Whether the process that it belongs to has ended.</summary>
    bool IsGone => false;

    /// <summary>Copies out of the caller's memory.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>None, or EFAULT.</returns>
    Errno Read(ulong address, Span<byte> destination);

    /// <summary>Copies into the caller's memory.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>None, or EFAULT.</returns>
    Errno Write(ulong address, ReadOnlySpan<byte> source);

    /// <summary>Makes part of the caller's memory usable by devices. Called when it is needed for the first time.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <param name="access">What devices will do.</param>
    /// <returns>The memory, whose offset 0 is the address, with one reference for the caller of this method.</returns>
    /// <exception cref="VfioException">EFAULT: not all of it is there, or it does not allow the access.</exception>
    UserMemory Resolve(ulong address, ulong length, DmaAccess access);
}
