using Penstock.Lab.Debian;
using Penstock.Lab.Qemu;

namespace Penstock.Lab;

/// <summary>
/// What guests of one architecture boot with: a QEMU, a kernel and an initramfs. It is prepared once and then read from
/// the cache folder; any number of guests, threads and processes may use it at once.
/// </summary>
public sealed class VmLab
{
    private readonly KernelSet _kernel;

    private VmLab(GuestArchitecture architecture, QemuProgram qemu, KernelSet kernel, Dictionary<string, IReadOnlyList<string>> packages)
    {
        Architecture = architecture;
        Platform = GuestPlatform.Of(architecture);
        QemuPath = qemu.Path;
        QemuVersion = qemu.Version;
        _kernel = kernel;
        PackageArchives = packages;
    }

    /// <summary>The guests' architecture.</summary>
    public GuestArchitecture Architecture { get; }

    /// <summary>The QEMU program; it can be run by hand as well.</summary>
    public string QemuPath { get; }

    /// <summary>QEMU's version, 11 or newer.</summary>
    public Version QemuVersion { get; }

    /// <summary>The kernel image.</summary>
    public string KernelPath => _kernel.KernelPath;

    /// <summary>The kernel's release as <c>uname -r</c> says it, or null for a kernel named without modules.</summary>
    public string? KernelRelease => _kernel.Release;

    /// <summary>The kernel for people to read: <c>Linux</c> with its release, or the named image where no release is known.</summary>
    public string KernelDescription => KernelRelease is null ? $"the named kernel {KernelPath}" : $"Linux {KernelRelease}";

    /// <summary>The base initramfs (cpio, uncompressed): busybox and kernel modules. Each boot appends its own files to it.</summary>
    public string InitramfsPath => _kernel.InitramfsPath;

    /// <summary>Names of the modules that guests can load, <c>-</c> written as <c>_</c>.</summary>
    public IReadOnlySet<string> Modules => _kernel.Loadable;

    /// <summary>Names of what would be modules but is built into the kernel, <c>-</c> written as <c>_</c>; empty when it is not known.</summary>
    public IReadOnlySet<string> BuiltInModules => _kernel.BuiltIn;

    /// <summary>The packages that guests can be given: <see cref="LabOptions.GuestPackages"/>.</summary>
    public IReadOnlyCollection<string> Packages => PackageArchives.Keys;

    internal GuestPlatform Platform { get; }

    /// <summary>Whether the user named the kernel: then it may be anything.</summary>
    internal bool KernelIsNamed => _kernel.IsNamed;

    /// <summary>What is appended to the initramfs for each package.</summary>
    internal Dictionary<string, IReadOnlyList<string>> PackageArchives { get; }

    /// <summary>
    /// Finds or makes all that guests of one architecture need. Returns in milliseconds when all is there. Otherwise it fetches
    /// only what this architecture needs, continues where an interrupted run stopped, and waits for another process that is
    /// preparing the same folder.
    /// </summary>
    /// <param name="architecture">The guests' architecture.</param>
    /// <param name="options">Where to keep things and what to use instead of fetching; null for the defaults.</param>
    /// <param name="cancellation">Stops the preparation; what has arrived is kept.</param>
    /// <returns>The lab.</returns>
    /// <exception cref="LabException">Something is absent, too old or cannot be fetched; the text says what to do.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static Task<VmLab> PrepareAsync(
        GuestArchitecture architecture, LabOptions? options = null, CancellationToken cancellation = default) =>
        PrepareAsync(architecture, options ?? new LabOptions(), LabEnvironment.OfProcess, cancellation);

    internal static async Task<VmLab> PrepareAsync(
        GuestArchitecture architecture, LabOptions options, LabEnvironment environment, CancellationToken cancellation)
    {
        var platform = GuestPlatform.Of(architecture);
        if (!OperatingSystem.IsLinux())
        {
            throw new LabException("the VM lab needs Linux: guests share memory with devices by memfd and Unix sockets; use a Linux machine or VM");
        }

        GuestPackageStore.CheckNames(options.GuestPackages);
        var cache = environment.CacheFolder(options);
        var named = options with
        {
            QemuPath = options.QemuPath ?? environment.Variable("PENSTOCK_QEMU", platform),
            KernelPath = options.KernelPath ?? environment.Variable("PENSTOCK_KERNEL", platform),
            ModulesFolder = options.ModulesFolder ?? environment.Variable("PENSTOCK_MODULES", platform),
            BusyboxPath = options.BusyboxPath ?? environment.Variable("PENSTOCK_BUSYBOX", platform),
        };
        var locator = new QemuLocator(environment, cache);
        var store = new LabStore(cache, platform, named, environment);
        var qemu = await locator.FindAsync(platform, named.QemuPath, cancellation).ConfigureAwait(false) ?? store.KnownQemu();
        var kernel = store.KnownKernel();
        var packageStore = new GuestPackageStore(cache, platform, named.Progress);
        var packages = packageStore.Known(named.GuestPackages);
        if (qemu is not null && kernel is not null && packages is not null)
        {
            return new VmLab(architecture, qemu, kernel, packages);
        }

        // Before anything is fetched: that can take minutes.
        store.CheckNamed();
        var fetch = new DebianFetch(cache, environment, named.Progress);
        if (fetch.WhyNot() is { } reason && (qemu is null || named.KernelPath is null || named.BusyboxPath is null))
        {
            var absent = ((string?[])
            [
                qemu is null ? locator.Rejected is { } old ? $"a newer QEMU ({old})" : "QEMU" : null,
                named.KernelPath is null ? "a kernel" : null,
                named.BusyboxPath is null ? "busybox" : null,
            ]).OfType<string>();
            throw new LabException(
                $"the VM lab needs {string.Join(", ", absent)} for {platform.Name} guests and cannot fetch it: {reason}; {DebianFetch.NameThemYourself}");
        }

        if (fetch.WhyNot() is { } why && packages is null)
        {
            throw new LabException(
                $"the VM lab cannot fetch the guest packages {string.Join(", ", named.GuestPackages)} for {platform.Name} guests: {why}; "
                + "leave LabOptions.GuestPackages empty and give guests the programs with GuestConfiguration.Files, or use a Debian");
        }

        await using var exclusive = await FolderLock.TakeAsync(cache, named.Progress, cancellation).ConfigureAwait(false);
        // Another process may have done the work while this one waited.
        qemu ??= store.KnownQemu() ?? await store.FetchQemuAsync(fetch, locator.Rejected, cancellation).ConfigureAwait(false);
        kernel = store.KnownKernel() ?? await store.MakeKernelAsync(fetch, cancellation).ConfigureAwait(false);
        packages ??= await packageStore.MakeAsync(fetch, named.GuestPackages, cancellation).ConfigureAwait(false);
        named.Progress?.Report(new LabProgress($"the lab for {platform.Name} guests is ready"));
        return new VmLab(architecture, qemu, kernel, packages);
    }
}
