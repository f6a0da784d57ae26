using System.Globalization;
using Penstock.Lab.Debian;
using Penstock.Lab.Initramfs;
using Penstock.Lab.Kernel;
using Penstock.Lab.Qemu;

namespace Penstock.Lab;

/// <summary>
/// The cache folder's records of what is ready for one architecture; paths in them are relative, so the folder can be moved.
/// </summary>
internal sealed class LabStore(string cache, GuestPlatform platform, LabOptions options, LabEnvironment environment)
{
    /// <summary>Raised when the initramfs's own contents change, so that older ones are made anew.</summary>
    private const string Format = "2";

    private readonly string _folder = Path.Combine(cache, platform.Name);

    private string QemuRecord => Path.Combine(_folder, "qemu");

    private string KernelRecord => KernelRecords[KernelKey is null ? 0 : 1];

    /// <summary>Of Debian's kernel, and of the last one that was put together with what the user named.</summary>
    private string[] KernelRecords => [Path.Combine(_folder, "kernel"), Path.Combine(_folder, "kernel-named")];

    private IEnumerable<string> WantedModules => platform.Modules.Concat(options.ExtraModules).Select(ModuleInfo.Canonical).Distinct();

    /// <summary>Tells user-named files apart; null when all is Debian's.</summary>
    private string? KernelKey => options.KernelPath is null && options.BusyboxPath is null
        ? null
        : string.Join('|', ((string?[])[options.KernelPath, options.ModulesFolder, options.BusyboxPath]).Select(Identity));

    public QemuProgram? KnownQemu() =>
        LabRecord.Read(QemuRecord) is { } record
        && record.TryGetValue("program", out var program)
        && Version.TryParse(record.GetValueOrDefault("version"), out var version)
        && File.Exists(Absolute(program))
            ? new QemuProgram(Absolute(program), version)
            : null;

    public KernelSet? KnownKernel()
    {
        if (LabRecord.Read(KernelRecord) is not { } record
            || record.GetValueOrDefault("format") != Format
            || record.GetValueOrDefault("key", "") != (KernelKey ?? "")
            || !record.TryGetValue("kernel", out var kernel)
            || !record.TryGetValue("initramfs", out var initramfs)
            || !WantedModules.All(LabRecord.Words(record, "asked").Contains))
        {
            return null;
        }

        // First, so that no process that makes others meanwhile takes these for forgotten.
        MarkUsed(Absolute(initramfs));
        if (options.KernelPath is null)
        {
            MarkUsed(Absolute(kernel));
        }

        return File.Exists(Absolute(kernel)) && File.Exists(Absolute(initramfs))
            ? new KernelSet(
                Absolute(kernel),
                record.GetValueOrDefault("release"),
                Absolute(initramfs),
                LabRecord.Words(record, "modules").ToHashSet(),
                LabRecord.Words(record, "builtin").ToHashSet(),
                IsNamed: options.KernelPath is not null)
            : null;
    }

    /// <summary>Sees that what the user named for the kernel's side is there.</summary>
    /// <exception cref="LabException">Something is not; the text names it and where it was named.</exception>
    public void CheckNamed()
    {
        CheckNamed(options.KernelPath, "the kernel", "KernelPath or PENSTOCK_KERNEL");
        CheckNamed(options.BusyboxPath, "busybox", "BusyboxPath or PENSTOCK_BUSYBOX");
        if (options.KernelPath is not null && options.ModulesFolder is { } modules && !Directory.Exists(modules))
        {
            throw new LabException(
                $"the kernel's modules are to be in {modules} (ModulesFolder or PENSTOCK_MODULES), and there is no such folder; "
                + "name the folder lib/modules/RELEASE that belongs to the kernel, or unset it");
        }
    }

    public async Task<QemuProgram> FetchQemuAsync(DebianFetch fetch, string? rejected, CancellationToken cancellation)
    {
        if (rejected is not null)
        {
            options.Progress?.Report(new LabProgress($"the QEMU on the PATH does not do ({rejected}; needed: {QemuVersion.Needed.Major}): fetching Debian's"));
        }

        var qemu = await fetch.QemuAsync(platform, cancellation).ConfigureAwait(false);
        await LabRecord.WriteAsync(
            QemuRecord,
            new() { ["program"] = Relative(qemu.Path), ["version"] = qemu.Version.ToString() },
            cancellation).ConfigureAwait(false);
        return qemu;
    }

    public async Task<KernelSet> MakeKernelAsync(DebianFetch fetch, CancellationToken cancellation)
    {
        var work = Path.Combine(_folder, "work");
        RemoveFolder(work);
        Directory.CreateDirectory(work);
        var unpacked = Path.Combine(work, "kernel");
        var busybox = options.BusyboxPath
            ?? await fetch.BusyboxAsync(platform, Path.Combine(work, "busybox"), cancellation).ConfigureAwait(false);
        var kernel = options.KernelPath;
        var modulesFolder = kernel is null ? null : options.ModulesFolder;
        if (kernel is null)
        {
            await fetch.KernelAsync(platform, unpacked, cancellation).ConfigureAwait(false);
            modulesFolder = DebianModules(unpacked);
            kernel = DebianKernel(unpacked, modulesFolder);
        }

        options.Progress?.Report(new LabProgress($"making the initramfs for {platform.Name}"));
        // What others have asked for stays, so that two programs with different wishes do not rebuild it in turn.
        var before = LabRecord.Read(KernelRecord) is { } record && record.GetValueOrDefault("key", "") == (KernelKey ?? "") ? LabRecord.Words(record, "asked") : [];
        var asked = WantedModules.Union(before).ToList();
        var modules = modulesFolder is null
            ? ModuleSelection.None(asked)
            : await ModuleSelection.SelectAsync(modulesFolder, asked, Path.Combine(work, "modules"), environment, cancellation).ConfigureAwait(false);
        var release = modulesFolder is null ? null : Path.GetFileName(Path.TrimEndingDirectorySeparator(modulesFolder));
        return await KeepAsync(kernel, busybox, release, modules, asked, cancellation).ConfigureAwait(false);
    }

    private async Task<KernelSet> KeepAsync(
        string kernel, string busybox, string? release, ModuleSelection modules, List<string> asked, CancellationToken cancellation)
    {
        // A new name each time: a guest that boots from the files before these keeps them.
        var unique = DateTime.UtcNow.Ticks.ToString("x", CultureInfo.InvariantCulture);
        var kept = options.KernelPath ?? Path.Combine(_folder, $"vmlinuz-{release}-{unique}");
        var initramfs = Path.Combine(_folder, $"initramfs-{release ?? "named"}-{unique}.cpio");
        await using (var output = new FileStream(initramfs + ".part", FileMode.Create))
        {
            BaseInitramfs.Write(output, busybox, release, modules);
        }

        File.Move(initramfs + ".part", initramfs);
        if (options.KernelPath is null)
        {
            File.Copy(kernel, kept + ".part", overwrite: true);
            // The copy has the time at which Debian built the kernel.
            MarkUsed(kept + ".part");
            File.Move(kept + ".part", kept);
        }

        var names = modules.Modules.Select(m => m.Name).ToHashSet();
        var record = new Dictionary<string, string>
        {
            ["format"] = Format,
            ["key"] = KernelKey ?? "",
            ["kernel"] = Relative(kept),
            ["initramfs"] = Relative(initramfs),
            ["modules"] = string.Join(' ', names),
            ["builtin"] = string.Join(' ', modules.BuiltIn),
            ["asked"] = string.Join(' ', asked),
        };
        if (release is not null)
        {
            record["release"] = release;
        }

        await LabRecord.WriteAsync(KernelRecord, record, cancellation).ConfigureAwait(false);
        RemoveForgotten();
        RemoveFolder(Path.Combine(_folder, "work"));
        return new KernelSet(Path.GetFullPath(kept), release, initramfs, names, modules.BuiltIn, IsNamed: options.KernelPath is not null);
    }

    /// <summary>
    /// Removes kernels and initramfs that no record names and no lab was prepared with for a day: a program that runs now may
    /// still boot from an earlier one.
    /// </summary>
    private void RemoveForgotten()
    {
        var recorded = KernelRecords.Select(LabRecord.Read).OfType<Dictionary<string, string>>()
            .SelectMany(record => ((string[])["kernel", "initramfs"]).Select(field => record.GetValueOrDefault(field)).OfType<string>())
            .Select(Absolute).ToHashSet();
        foreach (var file in Directory.EnumerateFiles(_folder, "vmlinuz-*").Concat(Directory.EnumerateFiles(_folder, "initramfs-*")))
        {
            if (!recorded.Contains(Path.GetFullPath(file)) && File.GetLastWriteTimeUtc(file) < DateTime.UtcNow.AddDays(-1))
            {
                File.Delete(file);
            }
        }
    }

    private static string DebianModules(string unpacked) =>
        ((string[])["usr/lib/modules", "lib/modules"]).Select(p => Path.Combine(unpacked, p)).Where(Directory.Exists)
            .SelectMany(Directory.EnumerateDirectories).FirstOrDefault()
        ?? throw new LabException("Debian's kernel packages hold no modules; name a kernel with KernelPath or PENSTOCK_KERNEL");

    private static string DebianKernel(string unpacked, string modulesFolder) =>
        ((string[])[Path.Combine(unpacked, "boot"), modulesFolder]).Where(Directory.Exists)
            .SelectMany(f => Directory.EnumerateFiles(f, "vmlinu*")).FirstOrDefault(f => new FileInfo(f).Length > 0)
        ?? throw new LabException("Debian's kernel packages hold no kernel image; name a kernel with KernelPath or PENSTOCK_KERNEL");

    private static void CheckNamed(string? path, string what, string how)
    {
        if (path is not null && !File.Exists(path))
        {
            throw new LabException($"{what} is to be {path} ({how}), and there is no such file; name one that is there, or unset it");
        }
    }

    /// <summary>A file's age is the time since its last use. A cache folder that only others may write has none.</summary>
    private static void MarkUsed(string file)
    {
        try
        {
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Absent, which its reader finds next, or not this user's, who then removes nothing either.
        }
    }

    private static string Identity(string? path) => path is null
        ? ""
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{Path.GetFullPath(path)}:{(File.Exists(path) ? new FileInfo(path).Length : 0)}:{File.GetLastWriteTimeUtc(path).Ticks}");

    private static void RemoveFolder(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private string Absolute(string path) => Path.GetFullPath(path, cache);

    /// <summary>Paths outside the cache folder stay absolute.</summary>
    private string Relative(string path)
    {
        var full = Path.GetFullPath(path);
        return full.StartsWith(cache + "/", StringComparison.Ordinal) ? Path.GetRelativePath(cache, full) : full;
    }
}
