using System.Text.RegularExpressions;
using Penstock.Lab.Debian;
using Penstock.Lab.Initramfs;

namespace Penstock.Lab;

/// <summary>
/// Debian packages for guests of one architecture, each kept as an archive to append to an initramfs. Packages share those that both
/// depend on; a record for each package asked for names the archives that it needs.
/// </summary>
internal sealed partial class GuestPackageStore(string cache, GuestPlatform platform, IProgress<LabProgress>? progress)
{
    /// <summary>Raised when what is made of a package changes.</summary>
    private const string Format = "1";

    private readonly string _folder = Path.Combine(cache, platform.Name, "packages");

    /// <summary>Refuses what is no package's name: apt-get would take <c>name-</c>, <c>name=version</c> or an option for a wish.</summary>
    public static void CheckNames(IEnumerable<string> names)
    {
        if (names.FirstOrDefault(n => !PackageName().IsMatch(n)) is { } wrong)
        {
            throw new LabException($"'{wrong}' in LabOptions.GuestPackages is no name of a Debian package; give names such as pciutils, without versions");
        }
    }

    /// <summary>The archives of each package, or null when some are still to be fetched.</summary>
    public Dictionary<string, IReadOnlyList<string>>? Known(IEnumerable<string> names)
    {
        var known = new Dictionary<string, IReadOnlyList<string>>();
        foreach (var name in names.Distinct())
        {
            if (KnownArchives(name) is not { } archives)
            {
                return null;
            }

            known.Add(name, archives);
        }

        return known;
    }

    public async Task<Dictionary<string, IReadOnlyList<string>>> MakeAsync(
        DebianFetch fetch, IEnumerable<string> names, CancellationToken cancellation)
    {
        var made = new Dictionary<string, IReadOnlyList<string>>();
        foreach (var name in names.Distinct())
        {
            made.Add(name, KnownArchives(name) ?? await MakeAsync(fetch, name, cancellation).ConfigureAwait(false));
        }

        return made;
    }

    private async Task<IReadOnlyList<string>> MakeAsync(DebianFetch fetch, string name, CancellationToken cancellation)
    {
        var files = await fetch.GuestPackageAsync(platform, name, cancellation).ConfigureAwait(false);
        progress?.Report(new LabProgress($"unpacking {name} for {platform.Name} guests"));
        Directory.CreateDirectory(_folder);
        var work = Path.Combine(_folder, "work");
        foreach (var file in files.Where(f => !File.Exists(ArchiveOf(Path.GetFileName(f)))))
        {
            RemoveFolder(work);
            await fetch.UnpackAsync(file, work, cancellation).ConfigureAwait(false);
            var archive = ArchiveOf(Path.GetFileName(file));
            await using (var output = new FileStream(archive + ".part", FileMode.Create))
            {
                PackageOverlay.Write(output, work);
            }

            File.Move(archive + ".part", archive, overwrite: true);
        }

        RemoveFolder(work);
        await LabRecord.WriteAsync(
            RecordOf(name),
            new() { ["format"] = Format, ["packages"] = string.Join(' ', files.Select(Path.GetFileName)) },
            cancellation).ConfigureAwait(false);
        return [.. files.Select(f => ArchiveOf(Path.GetFileName(f)))];
    }

    private List<string>? KnownArchives(string name)
    {
        if (LabRecord.Read(RecordOf(name)) is not { } record || record.GetValueOrDefault("format") != Format)
        {
            return null;
        }

        var archives = LabRecord.Words(record, "packages").Select(ArchiveOf).ToList();
        return archives.Count > 0 && archives.TrueForAll(File.Exists) ? archives : null;
    }

    /// <summary>The format is in the name, so that an archive of an older one is never taken for a new one.</summary>
    private string ArchiveOf(string package) => Path.Combine(_folder, $"{package}.{Format}.cpio");

    private string RecordOf(string name) => Path.Combine(_folder, name);

    private static void RemoveFolder(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9+.-]*[a-z0-9+]\z")]
    private static partial Regex PackageName();
}
