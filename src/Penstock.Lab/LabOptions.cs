namespace Penstock.Lab;

/// <summary>
/// Where a lab keeps its things and what it is to use instead of fetching. Each property left null is filled from
/// its environment variable; variables may carry an architecture suffix (<c>PENSTOCK_KERNEL_S390X</c>), which
/// wins over the plain one.
/// </summary>
public sealed record LabOptions
{
    /// <summary>
    /// The folder for everything fetched and built; null means <c>$PENSTOCK_LAB</c>, else
    /// <c>$XDG_CACHE_HOME/penstock/lab</c>, else <c>~/.cache/penstock/lab</c>.
    /// </summary>
    public string? CacheFolder { get; init; }

    /// <summary>
    /// A QEMU of version 11 or newer: the program, or a folder that holds <c>qemu-system-…</c>; null means <c>$PENSTOCK_QEMU</c>, else
    /// one on the PATH that is new enough, else Debian's.
    /// </summary>
    public string? QemuPath { get; init; }

    /// <summary>A kernel image that QEMU can boot; null means <c>$PENSTOCK_KERNEL</c>, else Debian's.</summary>
    public string? KernelPath { get; init; }

    /// <summary>
    /// The folder <c>…/lib/modules/RELEASE</c> that belongs to <see cref="KernelPath"/>; null means
    /// <c>$PENSTOCK_MODULES</c>, else no modules at all. Not used with Debian's kernel.
    /// </summary>
    public string? ModulesFolder { get; init; }

    /// <summary>A statically linked busybox of the guest's architecture; null means <c>$PENSTOCK_BUSYBOX</c>, else Debian's.</summary>
    public string? BusyboxPath { get; init; }

    /// <summary>
    /// Kernel modules to put into the guest beyond the lab's own list, by name, without <c>.ko</c>; their dependencies
    /// come along. A name that the kernel has built in is accepted.
    /// </summary>
    public IReadOnlyList<string> ExtraModules { get; init; } = [];

    /// <summary>
    /// Debian packages of the guests' architecture, by name, to have at hand for <see cref="GuestConfiguration.Packages"/>, such as
    /// <c>pciutils</c>; what they depend on comes along. They are fetched from Debian, with a kernel of your own too.
    /// </summary>
    public IReadOnlyList<string> GuestPackages { get; init; } = [];

    /// <summary>Told of each step and of bytes while downloading; called from any thread. Null: silent.</summary>
    public IProgress<LabProgress>? Progress { get; init; }
}
