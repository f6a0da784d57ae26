using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>The I/O addresses that a function may use: what the host's domain offers, or what a guest has registered. One set of rules for both.</summary>
/// <param name="First">First address (pba), a multiple of a page.</param>
/// <param name="Last">Last address (pal), the last of a page.</param>
public readonly record struct DmaAperture(ulong First, ulong Last)
{
    /// <summary>The aperture that a guest asks for in a FIB: rounded outwards to whole pages.</summary>
    /// <param name="fib">The block.</param>
    /// <returns>The aperture, which may be empty.</returns>
    public static DmaAperture Of(in ZpciFib fib) =>
        new(fib.FirstAddress & ~(ZpciIoTable.PageSize - 1), fib.LastAddress | (ZpciIoTable.PageSize - 1));

    /// <summary>Whether there is not one address.</summary>
    public bool IsEmpty => First > Last;

    /// <summary>Whether another aperture lies in this one.</summary>
    /// <param name="other">The other one, not empty.</param>
    /// <returns>Whether it does.</returns>
    public bool Contains(DmaAperture other) => First <= other.First && other.Last <= Last;

    /// <summary>Whether a stretch lies in the aperture.</summary>
    /// <param name="iova">Its first address.</param>
    /// <param name="length">Its length in bytes, at least 1.</param>
    /// <returns>Whether it does.</returns>
    public bool Contains(ulong iova, ulong length) => iova >= First && iova <= Last && length != 0 && length - 1 <= Last - iova;

    /// <summary>
    /// The pages of a refresh that are in the aperture (zPCI architecture, RPCIT): a stretch that wraps or lies outside is refused, one that
    /// lies across a border is cut.
    /// </summary>
    /// <param name="start">First address that is refreshed.</param>
    /// <param name="length">How many bytes.</param>
    /// <param name="first">Receives the first page.</param>
    /// <param name="pages">Receives how many pages there are; 0: there is nothing to do.</param>
    /// <returns>None, or <see cref="ZpciErrorEvent.AddressOutOfRange"/>.</returns>
    public ZpciErrorEvent Clamp(ulong start, ulong length, out ulong first, out ulong pages)
    {
        first = pages = 0;
        ulong behind = start + length;
        if (behind < start || behind < First || start > Last)
        {
            return ZpciErrorEvent.AddressOutOfRange;
        }

        ulong from = Math.Max(start & ~(ZpciIoTable.PageSize - 1), First);
        if (length != 0 && behind > from)
        {
            first = from;
            pages = ((Math.Min(behind - 1, Last) - from) / ZpciIoTable.PageSize) + 1;
        }

        return ZpciErrorEvent.None;
    }

    /// <summary>Judges a stretch whose translation is to be changed, by a host's user or for a guest.</summary>
    /// <param name="iova">Its first address.</param>
    /// <param name="length">Its length in bytes.</param>
    /// <param name="target">Where it is to lead; 0 when nowhere.</param>
    /// <returns>None; EINVAL: empty, not in whole pages, target not at a page, or not all of it in the aperture; EOVERFLOW: it ends past 2^64.</returns>
    public Errno Judge(ulong iova, ulong length, ulong target = 0)
    {
        if (length == 0 || ((iova | length | target) & (ZpciIoTable.PageSize - 1)) != 0)
        {
            return Errno.EINVAL;
        }

        return length - 1 > ulong.MaxValue - iova ? Errno.EOVERFLOW : Contains(iova, length) ? Errno.None : Errno.EINVAL;
    }
}
