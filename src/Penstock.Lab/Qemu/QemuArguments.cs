using System.Globalization;

namespace Penstock.Lab.Qemu;

/// <summary>Composes QEMU's command line for one guest.</summary>
internal static class QemuArguments
{
    public static IReadOnlyList<string> Compose(VmLab lab, GuestConfiguration configuration, string initrd, string consoleSocket, string qmpSocket)
    {
        var platform = lab.Platform;
        var machine = configuration.Machine ?? platform.Machine;
        var size = configuration.MemoryMegabytes.ToString(CultureInfo.InvariantCulture) + "M";
        var arguments = new List<string>();
        if (configuration.SharedMemory)
        {
            arguments.AddRange(["-object", $"memory-backend-memfd,id=penstock-ram,size={size},share=on"]);
            machine += ",memory-backend=penstock-ram";
        }

        arguments.AddRange(
        [
            // KVM is often absent in machines that run tests; the emulator is the same everywhere.
            "-machine", machine, "-cpu", configuration.Cpu ?? platform.Cpu, "-accel", "tcg", "-m", size,
            "-nodefaults", "-display", "none",
            "-chardev", $"socket,id=penstock-console,path={Quoted(consoleSocket)}", "-serial", "chardev:penstock-console",
            "-chardev", $"socket,id=penstock-qmp,path={Quoted(qmpSocket)}", "-qmp", "chardev:penstock-qmp",
        ]);
        if (!configuration.BootsFromDisk)
        {
            arguments.AddRange(["-kernel", lab.KernelPath, "-initrd", initrd, "-append", CommandLine(platform, configuration)]);
        }

        if (!configuration.AllowReboot)
        {
            arguments.Add("-no-reboot");
        }

        arguments.AddRange(configuration.ExtraArguments);
        foreach (var device in configuration.Devices)
        {
            arguments.AddRange(["-device", device]);
        }

        return arguments;
    }

    private static string CommandLine(GuestPlatform platform, GuestConfiguration configuration)
    {
        var ending = configuration.Ending switch
        {
            GuestEnding.PowerOff => "poweroff",
            GuestEnding.Reboot => "reboot",
            GuestEnding.Stay => "stay",
            GuestEnding.Shell => "shell",
            _ => throw new ArgumentOutOfRangeException(nameof(configuration), configuration.Ending, "no such ending"),
        };
        string[] parts =
        [
            $"console={platform.Console}", "rdinit=/init", "panic=-1", "loglevel=4", $"penstock.ending={ending}",
            platform.KernelArguments, configuration.KernelArguments,
        ];
        return string.Join(' ', parts.Where(p => p.Length > 0));
    }

    /// <summary>A comma separates QEMU's options; doubled it is one.</summary>
    private static string Quoted(string path) => path.Replace(",", ",,", StringComparison.Ordinal);
}
