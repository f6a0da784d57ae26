namespace Penstock.Interop;

/// <summary>
/// Linux error numbers, the one currency of errors in Penstock. Zero is success.
/// Values are those of the generic Linux ABI (<c>errno-base.h</c>, <c>errno.h</c>), which is also what vfio-user carries on the wire.
/// </summary>
public enum Errno
{
    /// <summary>Success.</summary>
    None = 0,

    /// <summary>Operation not permitted.</summary>
    EPERM = 1,

    /// <summary>No such object.</summary>
    ENOENT = 2,

    /// <summary>No such process.</summary>
    ESRCH = 3,

    /// <summary>Interrupted; never seen outside Penstock.Interop, which retries.</summary>
    EINTR = 4,

    /// <summary>Input or output error.</summary>
    EIO = 5,

    /// <summary>No such device or address.</summary>
    ENXIO = 6,

    /// <summary>Argument too large.</summary>
    E2BIG = 7,

    /// <summary>Not an open descriptor.</summary>
    EBADF = 9,

    /// <summary>No child process.</summary>
    ECHILD = 10,

    /// <summary>Try again.</summary>
    EAGAIN = 11,

    /// <summary>Out of memory, or over a memory limit.</summary>
    ENOMEM = 12,

    /// <summary>Access denied.</summary>
    EACCES = 13,

    /// <summary>Bad address.</summary>
    EFAULT = 14,

    /// <summary>Busy.</summary>
    EBUSY = 16,

    /// <summary>Already exists.</summary>
    EEXIST = 17,

    /// <summary>No such device.</summary>
    ENODEV = 19,

    /// <summary>Not a directory.</summary>
    ENOTDIR = 20,

    /// <summary>Is a directory.</summary>
    EISDIR = 21,

    /// <summary>Invalid argument.</summary>
    EINVAL = 22,

    /// <summary>Too many descriptors in the system.</summary>
    ENFILE = 23,

    /// <summary>Too many descriptors in this process.</summary>
    EMFILE = 24,

    /// <summary>Request not known to this object.</summary>
    ENOTTY = 25,

    /// <summary>File too large.</summary>
    EFBIG = 27,

    /// <summary>No space or no free entry.</summary>
    ENOSPC = 28,

    /// <summary>Positional access on a stream.</summary>
    ESPIPE = 29,

    /// <summary>Read-only file system.</summary>
    EROFS = 30,

    /// <summary>Broken pipe: the peer has gone.</summary>
    EPIPE = 32,

    /// <summary>Result out of range.</summary>
    ERANGE = 34,

    /// <summary>The wait or call would never end.</summary>
    EDEADLK = 35,

    /// <summary>Name too long.</summary>
    ENAMETOOLONG = 36,

    /// <summary>Not implemented by this system.</summary>
    ENOSYS = 38,

    /// <summary>Too many symbolic links.</summary>
    ELOOP = 40,

    /// <summary>No message of the wanted kind.</summary>
    ENOMSG = 42,

    /// <summary>No data available.</summary>
    ENODATA = 61,

    /// <summary>Timer expired.</summary>
    ETIME = 62,

    /// <summary>Protocol error.</summary>
    EPROTO = 71,

    /// <summary>Malformed message.</summary>
    EBADMSG = 74,

    /// <summary>Value does not fit.</summary>
    EOVERFLOW = 75,

    /// <summary>Descriptor of a wrong kind.</summary>
    EBADFD = 77,

    /// <summary>Too many users.</summary>
    EUSERS = 87,

    /// <summary>Not a socket.</summary>
    ENOTSOCK = 88,

    /// <summary>Message too long.</summary>
    EMSGSIZE = 90,

    /// <summary>Operation not supported.</summary>
    EOPNOTSUPP = 95,

    /// <summary>Address in use.</summary>
    EADDRINUSE = 98,

    /// <summary>The peer gave up before the connection was accepted.</summary>
    ECONNABORTED = 103,

    /// <summary>Connection reset by the peer.</summary>
    ECONNRESET = 104,

    /// <summary>No buffer space.</summary>
    ENOBUFS = 105,

    /// <summary>Not connected.</summary>
    ENOTCONN = 107,

    /// <summary>Too many descriptors under way between processes.</summary>
    ETOOMANYREFS = 109,

    /// <summary>Timed out.</summary>
    ETIMEDOUT = 110,

    /// <summary>Connection refused.</summary>
    ECONNREFUSED = 111,

    /// <summary>Cancelled.</summary>
    ECANCELED = 125,
}
