namespace Penstock.Lab;

/// <summary>One file that a guest finds in its root when it boots. Folders above it are made as needed.</summary>
public sealed class GuestFile
{
    private static readonly UnixFileMode Permissions = (UnixFileMode)0xFFF;
    private readonly Func<Stream> _open;

    private GuestFile(string path, UnixFileMode mode, Func<Stream> open)
    {
        Path = Checked(path);
        Mode = (mode & ~Permissions) == 0
            ? mode
            : throw new ArgumentException($"mode {(int)mode} of guest file {path} has bits beyond the permissions; use UnixFileMode's", nameof(mode));
        _open = open;
    }

    /// <summary>Read and write for root, read for all: the mode of data.</summary>
    public const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary><see cref="Readable"/> and execute for all: the mode of programs.</summary>
    public const UnixFileMode Executable = Readable | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>Absolute path in the guest.</summary>
    public string Path { get; }

    /// <summary>Permissions in the guest; the file belongs to root.</summary>
    public UnixFileMode Mode { get; }

    /// <summary>A file with the given bytes.</summary>
    /// <param name="path">Absolute path in the guest, such as <c>/data/pattern</c>.</param>
    /// <param name="content">The bytes; not copied, so leave them as they are until the guest has started.</param>
    /// <param name="mode">Permissions.</param>
    /// <returns>The file.</returns>
    /// <exception cref="ArgumentException">The path is not absolute, has empty, <c>.</c> or <c>..</c> parts, or is the lab's own.</exception>
    public static GuestFile FromBytes(string path, byte[] content, UnixFileMode mode = Readable)
    {
        ArgumentNullException.ThrowIfNull(content);
        return new GuestFile(path, mode, () => new MemoryStream(content, writable: false));
    }

    /// <summary>A file with the given text in UTF-8; line ends become those of Linux.</summary>
    /// <param name="path">Absolute path in the guest.</param>
    /// <param name="text">The text.</param>
    /// <param name="mode">Permissions.</param>
    /// <returns>The file.</returns>
    /// <exception cref="ArgumentException">As for <see cref="FromBytes"/>.</exception>
    public static GuestFile FromText(string path, string text, UnixFileMode mode = Readable)
    {
        ArgumentNullException.ThrowIfNull(text);
        return FromBytes(path, System.Text.Encoding.UTF8.GetBytes(text.ReplaceLineEndings("\n")), mode);
    }

    /// <summary>A copy of a file of this machine, read when the guest starts.</summary>
    /// <param name="path">Absolute path in the guest.</param>
    /// <param name="hostPath">The file to copy.</param>
    /// <param name="mode">Permissions; null for those of the host's file.</param>
    /// <returns>The file.</returns>
    /// <exception cref="ArgumentException">As for <see cref="FromBytes"/>.</exception>
    /// <exception cref="FileNotFoundException">There is no such file on this machine.</exception>
    public static GuestFile FromHost(string path, string hostPath, UnixFileMode? mode = null)
    {
        var full = System.IO.Path.GetFullPath(hostPath);
        return File.Exists(full)
            ? new GuestFile(path, mode ?? File.GetUnixFileMode(full), () => File.OpenRead(full))
            : throw new FileNotFoundException($"{full} is to become {path} in a guest, and there is no such file", full);
    }

    /// <summary>Copies of all files below a folder of this machine, for example a published program.</summary>
    /// <param name="path">Absolute path in the guest that stands for the folder.</param>
    /// <param name="hostFolder">The folder.</param>
    /// <returns>The files; symbolic links are followed, empty folders left out.</returns>
    /// <exception cref="ArgumentException">As for <see cref="FromBytes"/>.</exception>
    /// <exception cref="DirectoryNotFoundException">There is no such folder on this machine.</exception>
    public static IReadOnlyList<GuestFile> FromHostFolder(string path, string hostFolder) =>
        [.. Directory.EnumerateFiles(hostFolder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(file => FromHost($"{path.TrimEnd('/')}/{System.IO.Path.GetRelativePath(hostFolder, file)}", file))];

    internal Stream Open() => _open();

    private static string Checked(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var parts = path.Split('/');
        if (path[0] != '/' || parts.Skip(1).Any(p => p is "" or "." or "..") || path.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException($"guest file '{path}': give an absolute path without empty, '.' or '..' parts, such as /data/pattern", nameof(path));
        }

        return path == "/init" || parts[1] == "lab"
            ? throw new ArgumentException($"guest file '{path}': /init and /lab belong to the lab; choose another path", nameof(path))
            : path;
    }
}
