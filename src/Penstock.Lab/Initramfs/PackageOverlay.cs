namespace Penstock.Lab.Initramfs;

/// <summary>Makes an archive of an unpacked Debian package, without what only people and other locales read.</summary>
internal static class PackageOverlay
{
    private static readonly string[] LeftOut = ["bug", "doc", "doc-base", "info", "lintian", "locale", "man"];

    public static void Write(Stream output, string folder)
    {
        var archive = BaseInitramfs.Overlay(output);
        AddFolder(archive, folder, "");
        archive.Complete();
    }

    private static void AddFolder(CpioArchive archive, string folder, string path)
    {
        foreach (var entry in new DirectoryInfo(folder).EnumerateFileSystemInfos().OrderBy(e => e.Name, StringComparer.Ordinal))
        {
            var inGuest = path + entry.Name;
            if (entry.LinkTarget is { } target)
            {
                archive.AddLink(inGuest, target);
                AddUnmerged(archive, inGuest);
            }
            else if (entry is FileInfo file)
            {
                using var content = file.OpenRead();
                archive.AddFile(inGuest, file.UnixFileMode, content, file.Length);
                AddUnmerged(archive, inGuest);
            }
            else if (!IsLeftOut(inGuest))
            {
                archive.AddFolder(inGuest, entry.UnixFileMode);
                AddFolder(archive, entry.FullName, inGuest + "/");
            }
        }
    }

    /// <summary>
    /// Programs name their dynamic loader in /lib or /lib64. In Debian these are links to /usr/lib and /usr/lib64; in a lab guest they are
    /// folders of their own, so what is directly in the one gets a link in the other.
    /// </summary>
    private static void AddUnmerged(CpioArchive archive, string path)
    {
        if (path.Split('/') is ["usr", ("lib" or "lib64") and var folder, var name])
        {
            archive.AddLink($"{folder}/{name}", $"/{path}");
        }
    }

    private static bool IsLeftOut(string path) => path.Split('/') switch
    {
        ["usr", "share", var name] => LeftOut.Contains(name),
        // iconv's character sets, half of the C library's files: lab guests know UTF-8 only.
        ["usr", "lib", _, "gconv"] => true,
        _ => false,
    };
}
