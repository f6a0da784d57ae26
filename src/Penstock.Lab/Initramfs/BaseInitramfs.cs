using Penstock.Lab.Kernel;

namespace Penstock.Lab.Initramfs;

/// <summary>The part of a guest's root that stays the same for one kernel: folders, device nodes, busybox and modules.</summary>
internal static class BaseInitramfs
{
    public static readonly UnixFileMode Executable = (UnixFileMode)0x1ED;
    public static readonly UnixFileMode Readable = (UnixFileMode)0x1A4;
    private static readonly UnixFileMode Sticky = (UnixFileMode)0x3FF;
    private static readonly string[] Folders =
        ["bin", "sbin", "dev", "etc", "lab", "lib", "lib/modules", "lib64", "mnt", "proc", "root", "run", "sys", "usr", "usr/bin", "usr/lib", "usr/sbin", "var"];

    public static void Write(Stream output, string busyboxPath, string? release, ModuleSelection modules)
    {
        var archive = new CpioArchive(output);
        foreach (var folder in Folders)
        {
            archive.AddFolder(folder, Executable);
        }

        archive.AddFolder("tmp", Sticky);
        // The first process's console and /dev/null exist before devtmpfs is mounted.
        archive.AddCharacterDevice("dev/console", (UnixFileMode)0x180, 5, 1);
        archive.AddCharacterDevice("dev/null", (UnixFileMode)0x1B6, 1, 3);
        using (var busybox = File.OpenRead(busyboxPath))
        {
            archive.AddFile("bin/busybox", Executable, busybox, busybox.Length);
        }

        archive.AddLink("bin/sh", "busybox");
        if (release is not null)
        {
            var top = "lib/modules/" + release;
            archive.AddFolder(top, Executable);
            foreach (var module in modules.Modules.OrderBy(m => m.Path, StringComparer.Ordinal))
            {
                archive.AddFile($"{top}/{module.Path}", Readable, module.Content);
            }

            archive.AddFile($"{top}/modules.dep", Readable, System.Text.Encoding.UTF8.GetBytes(modules.Dependencies()));
            archive.AddFile($"{top}/modules.alias", Readable, System.Text.Encoding.UTF8.GetBytes(modules.Aliases()));
            foreach (var (name, content) in modules.BinaryIndexes())
            {
                archive.AddFile($"{top}/{name}", Readable, content);
            }
        }

        archive.Complete();
    }

    /// <summary>Starts the archive that one boot appends to the base.</summary>
    public static CpioArchive Overlay(Stream output)
    {
        var archive = new CpioArchive(output);
        foreach (var folder in Folders.Append("tmp"))
        {
            archive.AssumeFolder(folder);
        }

        return archive;
    }
}
