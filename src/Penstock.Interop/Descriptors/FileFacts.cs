using System.Text;

namespace Penstock.Interop;

/// <summary>What the kernel says of an open descriptor: identity, size, kind, seals and access mode.</summary>
public readonly record struct FileFacts
{
    /// <summary>Device number of the file system, as major in the high and minor in the low 32 bits.</summary>
    public ulong Device { get; private init; }

    /// <summary>Number of the file within its file system.</summary>
    public ulong Inode { get; private init; }

    /// <summary>Size in bytes.</summary>
    public ulong Size { get; private init; }

    /// <summary>Whether it is a regular file (memory files are).</summary>
    public bool IsRegular { get; private init; }

    /// <summary>
    /// Preferred unit in bytes; for huge page files the page size, of which offsets and lengths of mappings are multiples.
    /// </summary>
    public uint BlockSize { get; private init; }

    /// <summary>
    /// Whether it lives in huge pages (hugetlbfs): such pages can be taken away even when the file is sealed, and cannot be written by
    /// write(2).
    /// </summary>
    public bool IsHugePages { get; private init; }

    /// <summary>Seals; <see cref="MemorySeals.None"/> for files that cannot have any.</summary>
    public MemorySeals Seals { get; private init; }

    /// <summary>What the descriptor was opened for; <see cref="MemoryProtection.None"/> for one that only names a file (O_PATH).</summary>
    public MemoryProtection Access { get; private init; }

    /// <summary>Asks the kernel about a descriptor.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="finalSeals">
    /// Tells the seals of a file, by device and inode, that were seen before and cannot change any more: with <see cref="MemorySeals.Seal"/> among
    /// them, of a file that exists since. Null for all others, whose seals are asked for.
    /// </param>
    /// <returns>The facts at this moment; size and seals may change later.</returns>
    /// <exception cref="SystemCallException">The descriptor is not open.</exception>
    public static unsafe FileFacts Of(int descriptor, Func<ulong, ulong, MemorySeals?>? finalSeals = null)
    {
        Native.StatxBuffer buffer;
        byte empty = 0;

        // SAFETY: the path is an empty string that lives here; the buffer has the 256 bytes that statx fills.
        if (Native.statx(descriptor, &empty, Native.AT_EMPTY_PATH, Native.STATX_BASIC_STATS, &buffer) != 0)
        {
            throw Native.Failure("statx", $"descriptor {descriptor}");
        }

        // Only files whose unit is larger than a page can live in huge pages, so the others need not be asked.
        // SAFETY: struct statfs has 120 bytes and starts with the type.
        long* fileSystem = stackalloc long[32];
        bool huge = buffer.BlockSize > (uint)Environment.SystemPageSize
            && Native.fstatfs(descriptor, fileSystem) == 0 && fileSystem[0] == Native.HUGETLBFS_MAGIC;
        ulong device = ((ulong)buffer.DeviceMajor << 32) | buffer.DeviceMinor;
        int seals = (int?)finalSeals?.Invoke(device, buffer.Inode) ?? Native.fcntl(descriptor, Native.F_GET_SEALS, 0);
        int flags = Native.fcntl_getfl(descriptor, Native.F_GETFL, 0);
        return new FileFacts
        {
            Device = device,
            Inode = buffer.Inode,
            Size = buffer.Size,
            BlockSize = buffer.BlockSize,
            IsHugePages = huge,
            IsRegular = (buffer.Mode & Native.S_IFMT) == Native.S_IFREG,
            Seals = seals < 0 ? MemorySeals.None : (MemorySeals)seals,
            Access = (flags & (Native.O_ACCMODE | Native.O_PATH)) switch
            {
                Native.O_RDONLY => MemoryProtection.Read,
                Native.O_WRONLY => MemoryProtection.Write,
                Native.O_RDWR => MemoryProtection.ReadWrite,
                _ => MemoryProtection.None,
            },
        };
    }

    internal FileFacts WithSize(ulong size) => this with { Size = size };

    /// <summary>The kernel's own name for what is behind a descriptor, such as <c>anon_inode:[eventfd]</c>.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <returns>The name, cut at 255 bytes.</returns>
    /// <exception cref="SystemCallException">The descriptor is not open.</exception>
    public static unsafe string KindOf(int descriptor)
    {
        byte* name = stackalloc byte[255];

        // SAFETY: readlink writes at most the size given and returns how much.
        nint length = Native.readlink($"/proc/self/fd/{descriptor}", name, 255);
        if (length < 0)
        {
            throw Native.Failure("readlink", $"descriptor {descriptor}");
        }

        return Encoding.UTF8.GetString(name, (int)length);
    }

    /// <summary>The kernel's number of an eventfd, which all descriptors of it share.</summary>
    /// <param name="descriptor">The descriptor of an eventfd.</param>
    /// <returns>The number.</returns>
    /// <exception cref="SystemCallException">EBADF: not open; ENOSYS: the kernel does not tell.</exception>
    internal static ulong EventIdentityOf(int descriptor)
    {
        const string Field = "eventfd-id:";
        string what = $"descriptor {descriptor}";
        try
        {
            foreach (string line in File.ReadLines($"/proc/self/fdinfo/{descriptor}"))
            {
                if (line.StartsWith(Field, StringComparison.Ordinal) && ulong.TryParse(line.AsSpan(Field.Length), out ulong identity))
                {
                    return identity;
                }
            }
        }
        catch (FileNotFoundException)
        {
            throw new SystemCallException("fdinfo", what, Errno.EBADF);
        }

        throw new SystemCallException("fdinfo", $"{what}, whose number the kernel does not tell", Errno.ENOSYS);
    }

    /// <summary>Device and file number of what is at a path, without following a last link; zeroes when nothing is there.</summary>
    /// <param name="path">The path.</param>
    /// <returns>The identity.</returns>
    internal static (ulong Device, ulong Inode) IdentityOf(string path) =>
        TryStat(path, out Native.StatxBuffer buffer) ? (((ulong)buffer.DeviceMajor << 32) | buffer.DeviceMinor, buffer.Inode) : (0, 0);

    /// <summary>Whether there is a socket at a path.</summary>
    /// <param name="path">The path.</param>
    /// <returns>True for a socket; false for anything else or nothing.</returns>
    public static bool IsSocket(string path) =>
        TryStat(path, out Native.StatxBuffer buffer) && (buffer.Mode & Native.S_IFMT) == Native.S_IFSOCK;

    private static unsafe bool TryStat(string path, out Native.StatxBuffer buffer)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        Span<byte> name = bytes < 4096 ? stackalloc byte[bytes + 1] : new byte[bytes + 1];
        Encoding.UTF8.GetBytes(path, name);
        name[bytes] = 0;

        // SAFETY: the name ends in NUL; the buffer has the 256 bytes that statx fills.
        fixed (byte* start = name)
        fixed (Native.StatxBuffer* result = &buffer)
        {
            return Native.statx(Native.AT_FDCWD, start, Native.AT_SYMLINK_NOFOLLOW, Native.STATX_BASIC_STATS, result) == 0;
        }
    }
}
