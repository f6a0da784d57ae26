using System.Text;

namespace Penstock.Interop;

/// <summary>struct sockaddr_un.</summary>
internal static unsafe class UnixSocketAddress
{
    /// <summary>Bytes of a path, without the NUL that ends it.</summary>
    internal const int MaximumPathBytes = 107;

    /// <summary>Bytes of the structure.</summary>
    internal const int MaximumLength = 2 + MaximumPathBytes + 1;

    internal static OwnedDescriptor CreateSocket(ResourceLedger? ledger, bool blocking = true)
    {
        int fd = Native.socket(Native.AF_UNIX, Native.SOCK_STREAM | Native.SOCK_CLOEXEC | (blocking ? 0 : Native.SOCK_NONBLOCK), 0);
        return fd < 0 ? throw Native.Failure("socket", "a Unix stream socket") : new OwnedDescriptor(fd, ledger);
    }

    /// <summary>Fills the structure.</summary>
    /// <param name="path">The path.</param>
    /// <param name="address">Room for <see cref="MaximumLength"/> bytes.</param>
    /// <returns>The length to pass.</returns>
    internal static uint Write(string path, byte* address)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes is 0 or > MaximumPathBytes)
        {
            throw new SystemCallException(
                "Unix socket address",
                $"'{path}' ({bytes} bytes; a socket path has 1 to {MaximumPathBytes})",
                bytes == 0 ? Errno.EINVAL : Errno.ENAMETOOLONG);
        }

        if (path.Contains('\0', StringComparison.Ordinal))
        {
            // The kernel would stop reading there, or take a leading NUL for the abstract name space, which has no file modes.
            throw new SystemCallException("Unix socket address", $"'{path.Replace('\0', '?')}' (a path holds no NUL)", Errno.EINVAL);
        }

        // SAFETY: the caller gives room for the whole structure, and the path was measured above.
        new Span<byte>(address, MaximumLength).Clear();
        *(ushort*)address = Native.AF_UNIX;
        Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, MaximumPathBytes));
        return (uint)(2 + bytes + 1);
    }
}
