namespace Penstock.Interop;

/// <summary>
/// What makes a file a disk: data that is made durable, ranges of zeroes, a lock against a second server. Errors are returned as they
/// are; EINTR is retried. May be called from any thread; allocates nothing.
/// </summary>
public static class DescriptorStorage
{
    /// <summary>Waits until everything written so far, with what is needed to read it back, is on the medium (fdatasync).</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <returns>None, or the error. After an error nobody knows what is on the medium, and the kernel tells it only once.</returns>
    public static Errno SyncData(int descriptor)
    {
        while (Native.fdatasync(descriptor) != 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                return Native.LastError;
            }
        }

        return Errno.None;
    }

    /// <summary>As <see cref="SyncData"/>, with all that is known about the file; for a folder its entries (fsync).</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <returns>None, or the error.</returns>
    public static Errno SyncAll(int descriptor)
    {
        while (Native.fsync(descriptor) != 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                return Native.LastError;
            }
        }

        return Errno.None;
    }

    /// <summary>Gives a range back to the file system; it reads as zeroes. The file keeps its size.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <returns>None, or the error; EOPNOTSUPP where the file system cannot.</returns>
    public static Errno PunchHole(int descriptor, ulong offset, ulong length) =>
        Allocate(descriptor, Native.FALLOC_FL_PUNCH_HOLE | Native.FALLOC_FL_KEEP_SIZE, offset, length);

    /// <summary>Makes a range read as zeroes and keeps its room. The file keeps its size.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <returns>None, or the error; EOPNOTSUPP where the file system cannot.</returns>
    public static Errno ZeroRange(int descriptor, ulong offset, ulong length) =>
        Allocate(descriptor, Native.FALLOC_FL_ZERO_RANGE | Native.FALLOC_FL_KEEP_SIZE, offset, length);

    /// <summary>Sets the size of the file; what is new reads as zeroes and takes no room.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="length">The size in bytes.</param>
    /// <returns>None, or the error.</returns>
    public static Errno SetLength(int descriptor, ulong length)
    {
        if (length > long.MaxValue)
        {
            return Errno.EFBIG;
        }

        while (Native.ftruncate(descriptor, (long)length) != 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                return Native.LastError;
            }
        }

        return Errno.None;
    }

    /// <summary>The size of the file at this moment.</summary>
    /// <param name="descriptor">The descriptor, whose file position is moved to the end.</param>
    /// <param name="length">The size in bytes.</param>
    /// <returns>None, or the error of lseek(2): it is no file with a size.</returns>
    public static Errno TryGetLength(int descriptor, out ulong length)
    {
        long end = Native.lseek(descriptor, 0, Native.SEEK_END);
        length = end < 0 ? 0 : (ulong)end;
        return end < 0 ? Native.LastError : Errno.None;
    }

    /// <summary>
    /// Takes the lock that belongs to the open file (flock), without waiting. Closing the last descriptor of it, also by the end of the
    /// process, gives it back.
    /// </summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="exclusive">Whether nobody else may have it; otherwise others may have it shared.</param>
    /// <returns>None, or EAGAIN: somebody else has it.</returns>
    public static Errno TryLock(int descriptor, bool exclusive)
    {
        while (Native.flock(descriptor, (exclusive ? Native.LOCK_EX : Native.LOCK_SH) | Native.LOCK_NB) != 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                return Native.LastError;
            }
        }

        return Errno.None;
    }

    /// <summary>Gives the lock back.</summary>
    /// <param name="descriptor">The descriptor.</param>
    public static void Unlock(int descriptor) => _ = Native.flock(descriptor, Native.LOCK_UN);

    /// <summary>Opens a file, close-on-exec.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="write">Whether to write as well as to read.</param>
    /// <param name="create">Whether to make it, readable and writable for its owner only; it must not be there.</param>
    /// <param name="ledger">Where the descriptor is counted, if anywhere.</param>
    /// <returns>The descriptor.</returns>
    /// <exception cref="SystemCallException">The system refused; its errno says why.</exception>
    public static OwnedDescriptor Open(string path, bool write, bool create = false, ResourceLedger? ledger = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        const uint OwnerOnly = 0x180;
        int flags = Native.O_CLOEXEC | Native.O_NOCTTY | Native.O_NONBLOCK | (write ? Native.O_RDWR : Native.O_RDONLY)
            | (create ? Native.O_CREAT | Native.O_EXCL : 0);
        int descriptor;
        while ((descriptor = Native.open(path, flags, OwnerOnly)) < 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                throw Native.Failure("open", path);
            }
        }

        return new OwnedDescriptor(descriptor, ledger);
    }

    private static Errno Allocate(int descriptor, int mode, ulong offset, ulong length)
    {
        if (offset > long.MaxValue || length > long.MaxValue - offset)
        {
            return Errno.EFBIG;
        }

        while (Native.fallocate(descriptor, mode, (long)offset, (long)length) != 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                return Native.LastError;
            }
        }

        return Errno.None;
    }
}
