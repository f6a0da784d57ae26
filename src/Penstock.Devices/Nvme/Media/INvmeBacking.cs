using Penstock.Interop;

namespace Penstock.Devices;

/// <summary>
/// Where the blocks of a namespace are. Offsets and lengths are in bytes, multiples of the block size save in transfers that come in
/// pieces, and inside <see cref="Length"/>: the caller has checked. May be used from any thread; transfers allocate nothing.
/// </summary>
public interface INvmeBacking : IDisposable
{
    /// <summary>Size in bytes; never changes.</summary>
    ulong Length { get; }

    /// <summary>Whether it refuses writes (EROFS).</summary>
    bool IsReadOnly { get; }

    /// <summary>
    /// Whether a call may wait for something, such as a disk: then it is made on a thread of its own, never on the strand. It is also
    /// whether <see cref="Flush"/> does anything, so that the namespace has a volatile write cache.
    /// </summary>
    bool MayBlock { get; }

    /// <summary>Whether a deallocated range gives its room back and reads as zeroes. If not, deallocation is left alone.</summary>
    bool CanDeallocate { get; }

    /// <summary>How often <see cref="Flush"/> was carried out with success.</summary>
    long FlushCount { get; }

    /// <summary>One line for people: what it is.</summary>
    string Description { get; }

    /// <summary>Reads.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="destination">Receives the bytes.</param>
    /// <returns>None, EBUSY while it is not active, or another error of the medium.</returns>
    Errno Read(ulong offset, Span<byte> destination);

    /// <summary>Writes. Durable only after <see cref="Flush"/>.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="source">The bytes.</param>
    /// <returns>As <see cref="Read"/>; ENOSPC: there is no room; EROFS.</returns>
    Errno Write(ulong offset, ReadOnlySpan<byte> source);

    /// <summary>Makes a range read as zeroes. Durable only after <see cref="Flush"/>.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="deallocate">Whether the room may be given back.</param>
    /// <returns>As <see cref="Write"/>.</returns>
    Errno Zero(ulong offset, ulong length, bool deallocate);

    /// <summary>
    /// Makes durable whatever was written or zeroed before this call began. Once it has failed it always fails: what is on the medium is
    /// not known any more.
    /// </summary>
    /// <returns>None, or the error.</returns>
    Errno Flush();

    /// <summary>
    /// Takes the medium into use, after <see cref="Deactivate"/> or at the destination of a migration. Does not wait. A backing is
    /// active when it is made unless it says otherwise.
    /// </summary>
    /// <returns>None, or EBUSY: another process has it; until it lets go transfers fail with EBUSY.</returns>
    Errno Activate() => Errno.None;

    /// <summary>
    /// Lets another process take the medium into use, as the source of a migration does when it is stopped. No transfer may be under way.
    /// </summary>
    void Deactivate()
    {
    }
}
