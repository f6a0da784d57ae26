using System.Globalization;
using Penstock.Lab.Processes;

namespace Penstock.Lab.Qemu;

/// <summary>A QEMU that is new enough.</summary>
internal sealed record QemuProgram(string Path, Version Version);

/// <summary>Finds a QEMU on this machine: the one that the user names, else one on the PATH.</summary>
internal sealed class QemuLocator(LabEnvironment environment, string cacheFolder)
{
    /// <summary>What is wrong with the QEMU on the PATH, when there is one that cannot be used.</summary>
    public string? Rejected { get; private set; }

    /// <summary>The QEMU to use, or null when none is named and none on the PATH is new enough.</summary>
    /// <exception cref="LabException">The named one is absent, does not run or is too old.</exception>
    public async Task<QemuProgram?> FindAsync(GuestPlatform platform, string? named, CancellationToken cancellation)
    {
        if (named is not null)
        {
            var path = Directory.Exists(named) ? System.IO.Path.Combine(named, platform.QemuProgram) : named;
            if (!File.Exists(path))
            {
                throw new LabException(
                    $"QEMU for {platform.Name} is to be {path} (QemuPath or PENSTOCK_QEMU), and there is no such file; "
                    + $"name a {platform.QemuProgram} of version {QemuVersion.Needed.Major} or newer, or the folder it is in, or unset it");
            }

            var version = await VersionAsync(path, cancellation).ConfigureAwait(false);
            return version >= QemuVersion.Needed
                ? new QemuProgram(System.IO.Path.GetFullPath(path), version)
                : throw new LabException(TooOld(path, version));
        }

        if (environment.FindProgram(platform.QemuProgram) is not { } found)
        {
            return null;
        }

        try
        {
            var version = await VersionAsync(found, cancellation).ConfigureAwait(false);
            if (version >= QemuVersion.Needed)
            {
                return new QemuProgram(found, version);
            }

            Rejected = $"{found} is version {version}";
        }
        catch (LabException e)
        {
            // A broken QEMU on the PATH is no reason to give up: the lab can fetch one.
            Rejected = e.Message;
        }

        return null;
    }

    private static string TooOld(string path, Version version) =>
        $"{path} is QEMU {version}, and the lab needs {QemuVersion.Needed.Major} or newer (older vfio-user clients break message DMA); "
        + "name a newer one with QemuPath or PENSTOCK_QEMU, or leave it unset so that the lab fetches one";

    /// <summary>Asks the program, and remembers the answer for as long as the file stays the same: asking takes a tenth of a second.</summary>
    private async Task<Version> VersionAsync(string path, CancellationToken cancellation)
    {
        var file = new FileInfo(path);
        var real = (FileInfo?)file.ResolveLinkTarget(returnFinalTarget: true) ?? file;
        var key = string.Create(CultureInfo.InvariantCulture, $"{real.FullName}|{real.Length}|{real.LastWriteTimeUtc.Ticks}|");
        var memory = System.IO.Path.Combine(cacheFolder, "qemu-versions");
        if (File.Exists(memory))
        {
            foreach (var line in await File.ReadAllLinesAsync(memory, cancellation).ConfigureAwait(false))
            {
                if (line.StartsWith(key, StringComparison.Ordinal) && Version.TryParse(line.AsSpan(key.Length), out var known))
                {
                    return known;
                }
            }
        }

        var result = await Tool.RunAsync(path, ["--version"], environment, cancellation).ConfigureAwait(false);
        var version = QemuVersion.Parse(result.Output) ?? throw new LabException(
            $"{path} does not say which QEMU it is (exit status {result.ExitCode}: "
            + $"{FirstLine(result.Errors) ?? FirstLine(result.Output) ?? "no output"}); name another with QemuPath or PENSTOCK_QEMU");
        try
        {
            Directory.CreateDirectory(cacheFolder);
            await File.AppendAllTextAsync(memory, key + version + "\n", cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Only time is lost; whether the folder can be written is told where that matters.
        }

        return version;
    }

    private static string? FirstLine(string text) => text.Split('\n').FirstOrDefault(line => line.Length > 0);
}
