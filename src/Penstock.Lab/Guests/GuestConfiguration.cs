namespace Penstock.Lab;

/// <summary>One guest: its machine, its devices and the script that it runs.</summary>
public sealed record GuestConfiguration
{
    /// <summary>The shell script that the guest runs as root (busybox sh); its exit status becomes <see cref="GuestResult.ExitStatus"/>.
    /// Empty: the guest boots and its exit status is 0.</summary>
    public string Script { get; init; } = "";

    /// <summary>
    /// Whether the machine's firmware boots from the guest's own disks. There is no Linux of the lab in it then: no script, no files, no
    /// modules, no packages, no kernel arguments; the console shows what is written to the machine's first serial line, and the exit status is null.
    /// </summary>
    public bool BootsFromDisk { get; init; }

    /// <summary>Values of QEMU's <c>-device</c> option, in this order: <c>"edu"</c>, <see cref="QemuDevice.VfioUser"/> …</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];

    /// <summary>Further arguments of QEMU, each its own element; they come before the devices (so that buses and drives exist).</summary>
    public IReadOnlyList<string> ExtraArguments { get; init; } = [];

    /// <summary>QEMU's <c>-machine</c> without memory-backend; null for q35, s390-ccw-virtio or pseries.</summary>
    public string? Machine { get; init; }

    /// <summary>QEMU's <c>-cpu</c>; null for <c>max</c> (power9 on ppc64le).</summary>
    public string? Cpu { get; init; }

    /// <summary>Guest memory in MiB.</summary>
    public int MemoryMegabytes { get; init; } = 512;

    /// <summary>
    /// Whether guest memory is one memfd that a vfio-user server can map. Without it the server reaches memory only by messages.
    /// </summary>
    public bool SharedMemory { get; init; } = true;

    /// <summary>More of the kernel's command line.</summary>
    public string KernelArguments { get; init; } = "";

    /// <summary>Files to put into the guest's root.</summary>
    public IReadOnlyList<GuestFile> Files { get; init; } = [];

    /// <summary>
    /// Debian packages whose programs the guest is to have, each among <see cref="LabOptions.GuestPackages"/>. They are unpacked, not
    /// installed: no installation script runs, and there are no manual pages, translations and alternatives' links.
    /// </summary>
    public IReadOnlyList<string> Packages { get; init; } = [];

    /// <summary>
    /// Kernel modules to load before the script, in this order; each must be among <see cref="VmLab.Modules"/> or
    /// <see cref="VmLab.BuiltInModules"/>.
    /// </summary>
    public IReadOnlyList<string> Modules { get; init; } = [];

    /// <summary>What the guest does after the script.</summary>
    public GuestEnding Ending { get; init; } = GuestEnding.PowerOff;

    /// <summary>Whether a guest that restarts boots again; otherwise a restart ends QEMU.</summary>
    public bool AllowReboot { get; init; }

    /// <summary>
    /// After this time the guest is killed and its result says <see cref="GuestResult.TimedOut"/>. Everything is emulated:
    /// allow three times what an idle machine needs.
    /// </summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(240);

    /// <summary>Given each console line as it is complete, in order, from a pool thread; null for none. It must not throw.</summary>
    public Action<string>? ConsoleSink { get; init; }
}
