using Penstock.Lab.Processes;
using Penstock.Lab.Qemu;

namespace Penstock.Lab.Debian;

/// <summary>Gets QEMU, kernels and busybox from Debian's archive and unpacks them without installing anything.</summary>
internal sealed class DebianFetch(string cacheFolder, LabEnvironment environment, IProgress<LabProgress>? progress)
{
    public const string NameThemYourself =
        "name a QEMU of version 11 or newer (QemuPath or PENSTOCK_QEMU), a kernel (KernelPath or PENSTOCK_KERNEL), the modules that belong "
        + "to it (ModulesFolder or PENSTOCK_MODULES) and a static busybox of the guest's architecture (BusyboxPath or PENSTOCK_BUSYBOX)";

    // Packages that others' maintainer scripts ask for; nothing of them runs here.
    private static readonly string[] NotUnpacked =
        ["adduser", "base-passwd", "debconf", "login.defs", "passwd", "libpam-modules", "libpam-modules-bin", "openssl-provider-legacy"];

    // The same for guests, told to apt as if they were installed, so that what only they depend on stays away too.
    private static readonly string[] AssumedInGuests =
    [
        "adduser", "base-files", "base-passwd", "debconf", "debconf-2.0", "dpkg", "init-system-helpers", "install-info", "login.defs",
        "openssl-provider-legacy", "passwd", "sensible-utils", "ucf",
    ];

    /// <summary>Says in one sentence why this machine cannot fetch from Debian, or null when it can.</summary>
    public string? WhyNot() => ((string[])["apt-get", "dpkg-deb"]).FirstOrDefault(tool => environment.FindProgram(tool) is null) is { } absent
        ? $"this machine has no {absent} (it is not a Debian or a relative of it)"
        : null;

    /// <summary>Fetches QEMU for the platform; returns the program to start.</summary>
    public async Task<QemuProgram> QemuAsync(GuestPlatform platform, CancellationToken cancellation)
    {
        var dpkg = environment.RequireProgram("dpkg", "to learn this machine's architecture", "dpkg");
        var host = (await Tool.RunAsync(dpkg, ["--print-architecture"], environment, cancellation).ConfigureAwait(false)).Output.Trim();
        var (all, files) = await FetchAsync(
            host,
            DebianSuites.Backports,
            platform.QemuPackage,
            $"QEMU for {platform.Name} guests",
            package => !NotUnpacked.Contains(package.Name),
            cancellation).ConfigureAwait(false);
        var version = all.First(p => p.Name == platform.QemuPackage).Version;
        // Guests of several architectures share one folder as long as they have one version of QEMU.
        var folder = Path.Combine(cacheFolder, "qemu", version.Replace(':', '-'));
        var root = Path.Combine(folder, "root");
        progress?.Report(new LabProgress($"unpacking QEMU {version}"));
        Directory.CreateDirectory(Path.Combine(folder, "unpacked"));
        Directory.CreateDirectory(Path.Combine(folder, "bin"));
        foreach (var file in files)
        {
            var stamp = Path.Combine(folder, "unpacked", Path.GetFileName(file));
            if (!File.Exists(stamp))
            {
                await UnpackAsync(file, root, cancellation).ConfigureAwait(false);
                await File.WriteAllTextAsync(stamp, "", cancellation).ConfigureAwait(false);
            }
        }

        var wrapper = Path.Combine(folder, "bin", platform.QemuProgram);
        await WriteWrapperAsync(root, wrapper, platform.QemuProgram, cancellation).ConfigureAwait(false);
        var answer = await Tool.RunAsync(wrapper, ["--version"], environment, cancellation).ConfigureAwait(false);
        return QemuVersion.Parse(answer.Output) is { } parsed && parsed >= QemuVersion.Needed
            ? new QemuProgram(wrapper, parsed)
            : throw new LabException(
                $"QEMU {version} from Debian's {DebianSuites.Backports} does not do (it says: {(answer.Output + answer.Errors).Trim()}); "
                + "name a QEMU of version 11 or newer with QemuPath or PENSTOCK_QEMU");
    }

    /// <summary>Fetches Debian's kernel for the platform and unpacks it into the folder.</summary>
    public async Task KernelAsync(GuestPlatform platform, string folder, CancellationToken cancellation)
    {
        // Debian has split kernels in several packages in different ways; what they depend on beyond that is an installed system's.
        var (_, files) = await FetchAsync(
            platform.DebianArchitecture,
            DebianSuites.Backports,
            platform.KernelPackage,
            $"kernel for {platform.Name}",
            p => ((string[])["linux-image-", "linux-modules-", "linux-binary-", "linux-base-"]).Any(
                prefix => p.Name.StartsWith(prefix, StringComparison.Ordinal) && p.Name.Length > prefix.Length && char.IsAsciiDigit(p.Name[prefix.Length])),
            cancellation).ConfigureAwait(false);
        progress?.Report(new LabProgress($"unpacking the kernel for {platform.Name}"));
        foreach (var file in files)
        {
            await UnpackAsync(file, folder, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Fetches a static busybox for the platform and unpacks it into the folder; returns the program's path.</summary>
    public async Task<string> BusyboxAsync(GuestPlatform platform, string folder, CancellationToken cancellation)
    {
        var (_, files) = await FetchAsync(
            platform.DebianArchitecture,
            DebianSuites.Stable,
            "busybox-static",
            $"busybox for {platform.Name}",
            p => p.Name == "busybox-static",
            cancellation).ConfigureAwait(false);
        await UnpackAsync(files.Single(), folder, cancellation).ConfigureAwait(false);
        return ((string[])["usr/bin/busybox", "bin/busybox"]).Select(p => Path.Combine(folder, p)).FirstOrDefault(File.Exists)
            ?? throw new LabException($"{Path.GetFileName(files.Single())} holds no busybox; name one with BusyboxPath or PENSTOCK_BUSYBOX");
    }

    /// <summary>Fetches a package for guests with everything that it depends on; returns the package files.</summary>
    public async Task<IReadOnlyList<string>> GuestPackageAsync(GuestPlatform platform, string package, CancellationToken cancellation)
    {
        var (_, files) = await FetchAsync(
            platform.DebianArchitecture,
            DebianSuites.Stable,
            package,
            $"{package} for {platform.Name} guests",
            _ => true,
            cancellation,
            [.. AssumedInGuests.Where(p => p != package)]).ConfigureAwait(false);
        return files;
    }

    /// <summary>Unpacks a package file; nothing of it runs.</summary>
    public async Task UnpackAsync(string package, string folder, CancellationToken cancellation)
    {
        Directory.CreateDirectory(folder);
        var dpkgDeb = environment.RequireProgram("dpkg-deb", "to unpack packages", "dpkg");
        var result = await Tool.RunAsync(dpkgDeb, ["--extract", package, folder], environment, cancellation).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            File.Delete(package);
            throw new LabException(
                $"cannot unpack {Path.GetFileName(package)} into {folder}: {result.Errors.Trim()}; see that the disk has room, then try again "
                + "(the package was removed and will be fetched anew)");
        }
    }

    private async Task<(IReadOnlyList<AptPackage> All, IReadOnlyList<string> Files)> FetchAsync(
        string architecture,
        string wantedSuite,
        string package,
        string step,
        Func<AptPackage, bool> wanted,
        CancellationToken cancellation,
        IReadOnlyList<string>? assumed = null)
    {
        var apt = new PrivateApt(cacheFolder, architecture, environment, progress, assumed ?? []);
        for (var again = false; ; again = true)
        {
            await apt.UpdateAsync(again, cancellation).ConfigureAwait(false);
            try
            {
                var suite = apt.HasSuite(wantedSuite) ? wantedSuite : DebianSuites.Stable;
                if (suite != wantedSuite)
                {
                    progress?.Report(new LabProgress($"the mirror has no list of {wantedSuite} for {architecture} now: {step} comes from {suite}"));
                }

                var all = await apt.ClosureAsync(suite, package, cancellation).ConfigureAwait(false);
                await apt.DownloadAsync(step, suite, package, all, cancellation).ConfigureAwait(false);
                return (all, [.. all.Where(wanted).Select(apt.FileOf)]);
            }
            catch (LabException) when (!again && !apt.IsSilent)
            {
                // Lists from an earlier day may name versions that the archive has replaced since: once more with fresh ones.
            }
        }
    }

    /// <summary>
    /// Writes a script that starts the unpacked QEMU with the libraries it was unpacked with: by way of its own dynamic
    /// loader, so that this machine's libraries do not matter and no chroot is needed.
    /// </summary>
    private static async Task WriteWrapperAsync(string root, string wrapper, string program, CancellationToken cancellation)
    {
        var libraries = Directory.EnumerateFiles(Path.Combine(root, "usr", "lib"), "libc.so.6", SearchOption.AllDirectories).First();
        var libraryFolder = Path.GetDirectoryName(libraries)!;
        var loader = Directory.EnumerateFiles(libraryFolder, "ld-linux*.so.*").Concat(Directory.EnumerateFiles(libraryFolder, "ld64.so.*")).First();
        var inRoot = Path.GetRelativePath(root, libraryFolder);
        var text = $"""
            #!/bin/sh
            here=$(cd "$(dirname "$0")/../root" && pwd)
            libraries="$here/{inRoot}"
            export QEMU_MODULE_DIR="$libraries/qemu"
            exec "$libraries/{Path.GetFileName(loader)}" --argv0 {program} --library-path "$libraries" "$here/usr/bin/{program}" \
              -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" -L "$here/usr/lib/ipxe/qemu" "$@"

            """;
        await File.WriteAllTextAsync(wrapper + ".part", text, cancellation).ConfigureAwait(false);
        File.SetUnixFileMode(wrapper + ".part", (UnixFileMode)Convert.ToInt32("755", 8));
        File.Move(wrapper + ".part", wrapper, overwrite: true);
    }
}
