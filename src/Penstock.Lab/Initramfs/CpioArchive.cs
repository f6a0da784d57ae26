using System.Globalization;
using System.Text;

namespace Penstock.Lab.Initramfs;

/// <summary>
/// Writes the "newc" form of cpio, which Linux takes as an initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
/// Everything belongs to root and bears no time, so that equal input gives equal bytes. Archives may be appended to each
/// other; a later entry replaces an earlier one of the same name.
/// </summary>
internal sealed class CpioArchive(Stream output)
{
    private const string Magic = "070701";
    private const string Trailer = "TRAILER!!!";
    private const int HeaderLength = 110;
    private const int EntryAlignment = 4;
    private const int ArchiveAlignment = 512;

    // File types as in <linux/stat.h>; C# has no octal numbers.
    private const uint S_IFREG = 0x8000;
    private const uint S_IFDIR = 0x4000;
    private const uint S_IFLNK = 0xA000;
    private const uint S_IFCHR = 0x2000;

    private readonly HashSet<string> _folders = [];
    private uint _inode;
    private long _written;

    /// <summary>Adds a regular file, and the folders above it that were not added yet.</summary>
    /// <exception cref="ArgumentException">The content is 4 GiB or more: the format has no room for its size.</exception>
    public void AddFile(string path, UnixFileMode mode, Stream content, long length)
    {
        AddFoldersAbove(path);
        if (length > uint.MaxValue)
        {
            throw new ArgumentException($"{path} is {length} bytes; a file in an initramfs ends at 4 GiB", nameof(length));
        }

        Header(path, S_IFREG | (uint)mode, (uint)length, 1, 0, 0);
        var before = output.Position;
        content.CopyTo(output);
        if (output.Position - before != length)
        {
            throw new IOException($"{path} changed its size while it was copied into an initramfs");
        }

        _written += length;
        Pad(EntryAlignment);
    }

    public void AddFile(string path, UnixFileMode mode, byte[] content) => AddFile(path, mode, new MemoryStream(content), content.Length);

    public void AddFolder(string path, UnixFileMode mode)
    {
        if (_folders.Add(Clean(path)))
        {
            AddFoldersAbove(path);
            Header(path, S_IFDIR | (uint)mode, 0, 2, 0, 0);
        }
    }

    public void AddLink(string path, string target)
    {
        AddFoldersAbove(path);
        var bytes = Encoding.UTF8.GetBytes(target);
        Header(path, S_IFLNK | 0x1FF, (uint)bytes.Length, 1, 0, 0);
        Write(bytes);
        Pad(EntryAlignment);
    }

    public void AddCharacterDevice(string path, UnixFileMode mode, uint major, uint minor)
    {
        AddFoldersAbove(path);
        Header(path, S_IFCHR | (uint)mode, 0, 1, major, minor);
    }

    /// <summary>Says that a folder is in an archive before this one, so that its mode stays what it is.</summary>
    public void AssumeFolder(string path) => _folders.Add(Clean(path));

    /// <summary>Ends the archive; another may follow it in the same file.</summary>
    public void Complete()
    {
        _inode = uint.MaxValue;
        Header(Trailer, 0, 0, 1, 0, 0);
        Pad(ArchiveAlignment);
    }

    private static string Clean(string path) => path.Trim('/');

    private void AddFoldersAbove(string path)
    {
        var clean = Clean(path);
        for (var slash = clean.IndexOf('/', StringComparison.Ordinal); slash > 0; slash = clean.IndexOf('/', slash + 1))
        {
            if (_folders.Add(clean[..slash]))
            {
                Header(clean[..slash], S_IFDIR | 0x1ED, 0, 2, 0, 0);
            }
        }
    }

    private void Header(string path, uint mode, uint size, uint links, uint major, uint minor)
    {
        var name = Encoding.UTF8.GetBytes(Clean(path) + "\0");
        // inode, mode, uid, gid, links, time, size, device major and minor, node major and minor, name size, checksum (0 in this form)
        _inode = unchecked(_inode + 1);
        uint[] fields = [_inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, (uint)name.Length, 0];
        var header = new StringBuilder(Magic, HeaderLength);
        foreach (var field in fields)
        {
            header.Append(field.ToString("X8", CultureInfo.InvariantCulture));
        }

        Write(Encoding.ASCII.GetBytes(header.ToString()));
        Write(name);
        Pad(EntryAlignment);
    }

    private void Write(byte[] bytes)
    {
        output.Write(bytes);
        _written += bytes.Length;
    }

    private void Pad(int alignment) => Write(new byte[(alignment - (_written % alignment)) % alignment]);
}
