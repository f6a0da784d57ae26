namespace Penstock.Interop;

/// <summary>
/// Positional copies through a descriptor (pread, pwrite). A page that the file's owner took away is an error here, where a touch of a
/// mapping would end the process. May be called from any thread; allocates nothing.
/// </summary>
public static unsafe class DescriptorIO
{
    /// <summary>Reads until the span is full or the file ends.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="destination">Receives the bytes.</param>
    /// <param name="transferred">How many bytes were read.</param>
    /// <returns>None also when the file ended early; the error of pread(2) otherwise.</returns>
    public static Errno ReadAt(int descriptor, ulong offset, Span<byte> destination, out int transferred)
    {
        transferred = 0;
        if (offset > long.MaxValue - (ulong)destination.Length)
        {
            return Errno.EOVERFLOW;
        }

        // SAFETY: the pin lasts for the calls; each call stays inside what is left of the span.
        fixed (byte* bytes = destination)
        {
            while (transferred < destination.Length)
            {
                nint n = Native.pread(descriptor, bytes + transferred, (nuint)(destination.Length - transferred), (long)offset + transferred);
                if (n == 0)
                {
                    return Errno.None;
                }

                if (n > 0)
                {
                    transferred += (int)n;
                }
                else if (Native.LastError != Errno.EINTR)
                {
                    return Native.LastError;
                }
            }
        }

        return Errno.None;
    }

    /// <summary>Writes the whole span; a file grows where its seals allow, so the caller checks the size first.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="source">The bytes.</param>
    /// <param name="transferred">How many bytes were written.</param>
    /// <returns>None, or the error of pwrite(2).</returns>
    public static Errno WriteAt(int descriptor, ulong offset, ReadOnlySpan<byte> source, out int transferred)
    {
        transferred = 0;
        if (offset > long.MaxValue - (ulong)source.Length)
        {
            return Errno.EOVERFLOW;
        }

        // SAFETY: as in ReadAt.
        fixed (byte* bytes = source)
        {
            while (transferred < source.Length)
            {
                nint n = Native.pwrite(descriptor, bytes + transferred, (nuint)(source.Length - transferred), (long)offset + transferred);
                if (n > 0)
                {
                    transferred += (int)n;
                }
                else if (n == 0)
                {
                    return Errno.EIO;
                }
                else if (Native.LastError != Errno.EINTR)
                {
                    return Native.LastError;
                }
            }
        }

        return Errno.None;
    }
}
