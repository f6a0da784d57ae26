using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// The checks that every way of changing a translation makes, whether a host's user maps or a guest has its tables refreshed: one code for both.
/// </summary>
/// <param name="Aperture">Addresses that the translation covers.</param>
public readonly record struct ApertureCheck(IovaRange Aperture)
{
    private const ulong InPage = ZpciIoTable.PageSize - 1;

    /// <summary>Judges a range that is to be changed.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <returns>None; EINVAL: empty, not in whole pages, or not inside the aperture; EOVERFLOW: it ends past the address space.</returns>
    public Errno Judge(ulong iova, ulong size)
    {
        if (size == 0 || ((iova | size) & InPage) != 0)
        {
            return Errno.EINVAL;
        }

        ulong last = iova + (size - 1);
        return last < iova ? Errno.EOVERFLOW : Aperture.Contains(new IovaRange(iova, last)) ? Errno.None : Errno.EINVAL;
    }

    /// <summary>As <see cref="Judge(ulong, ulong)"/>, with the address that it will lead to.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <param name="target">Where it leads.</param>
    /// <returns>As there; EINVAL: the target is not at a page.</returns>
    public Errno Judge(ulong iova, ulong size, ulong target) => (target & InPage) != 0 ? Errno.EINVAL : Judge(iova, size);

    /// <summary>
    /// Cuts a range that a guest wants refreshed to the aperture (zPCI, RPCIT): in whole pages, because a page is translated or not.
    /// </summary>
    /// <param name="start">First address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="range">What is left of it.</param>
    /// <returns>None; EINVAL: it wraps; ERANGE: nothing of it is in the aperture.</returns>
    public Errno Cut(ulong start, ulong length, out IovaRange range)
    {
        range = default;
        ulong end = start + length;
        if (end < start && end != 0)
        {
            return Errno.EINVAL;
        }

        ulong last = length == 0 ? start : end - 1;
        if (last < Aperture.First || start > Aperture.Last)
        {
            return Errno.ERANGE;
        }

        range = new IovaRange(Math.Max(start, Aperture.First) & ~InPage, Math.Min(last | InPage, Aperture.Last));
        return Errno.None;
    }

    /// <summary>The aperture of a registration, as it is rounded and judged before it counts (MPCIFC, register I/O address translation).</summary>
    /// <param name="first">First address asked for.</param>
    /// <param name="last">Last address asked for.</param>
    /// <param name="window">The function's own window.</param>
    /// <param name="check">The checks for that aperture.</param>
    /// <returns>Whether it is inside the window.</returns>
    public static bool TryRegister(ulong first, ulong last, IovaRange window, out ApertureCheck check)
    {
        first &= ~InPage;
        last |= InPage;
        check = new ApertureCheck(new IovaRange(first, last));
        return first <= last && first >= window.First && last <= window.Last;
    }
}
