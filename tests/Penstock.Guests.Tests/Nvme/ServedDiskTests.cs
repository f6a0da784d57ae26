using System.Globalization;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>
/// <c>penstock serve nvme</c> as a process, in the machine of each architecture that QEMU makes of the arguments exactly as they were printed.
/// </summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class ServedDiskTests(GuestLab lab) : IDisposable
{
    private const string Serial = "served";

    /// <summary>Of five seconds of an idle guest: a tenth of a processor would be a poll.</summary>
    private static readonly TimeSpan MostIdle = TimeSpan.FromSeconds(0.5);

    private readonly TemporaryFolder _folder = new();

    private string Socket => _folder.File("it's a disk.sock");

    private string Image => _folder.File("image");

    private string Recording => _folder.File("recording");

    public void Dispose() => _folder.Dispose();

    /// <summary>Each mapping of the guest's zPCI tables reaches the server as a map of its own.</summary>
    [Fact]
    public async Task S390x_ArgumentsAsPrinted_SameWork()
    {
        await using ServedCommand serve = ServedCommand.Start([.. Disk(), "--record", Recording]);
        IReadOnlyList<string> printed = await serve.ReadArgumentsAsync("qemu-system-s390x");
        await using GuestShell shell = await StartAsync(GuestArchitecture.S390x, printed[^1], "iommu.strict=1");
        await (await LinuxDisk.FindAsync(shell, Serial)).WorkAsync();
        await shell.PowerOffAsync();
        Assert.Equal(0, await serve.WaitForExitAsync());
        Assert.InRange(CountMaps(), 1000, int.MaxValue);
    }

    /// <summary>Two devices on the bridge: the second is started with the command that was printed.</summary>
    [Fact]
    public async Task Ppc64le_ArgumentsAsPrinted_SameWork()
    {
        await using ServedCommand serve = ServedCommand.Start(Disk());
        IReadOnlyList<string> printed = await serve.ReadArgumentsAsync("qemu-system-ppc64");
        Assert.Equal(2, printed.Count);
        string[] second = await GuestShell.WordsAsync(printed[0]);
        Assert.Equal(["./penstock", "serve"], second[..2]);
        await using ServedCommand other = ServedCommand.Start(second[2..]);
        await other.WaitForAsync(line => line.Contains("-device", StringComparison.Ordinal), "the arguments for QEMU");
        await using GuestShell shell = await StartAsync(GuestArchitecture.Ppc64le, printed[1]);
        await (await LinuxDisk.FindAsync(shell, Serial)).WorkAsync();
        await shell.PowerOffAsync();
        Assert.Equal(0, await serve.WaitForExitAsync());
    }

    /// <summary>
    /// The server sleeps while the guest leaves the disk alone. It is killed then: what the guest reads later fails, and nothing hangs. (In the middle
    /// of a register access QEMU 11.1 may abort over its own second error.) The files are in the image, for a new server and a new guest.
    /// </summary>
    [Fact]
    public async Task X86_ArgumentsAsPrinted_ServerIdleThenKilled_ReadsFailAndTheImageIsWhole()
    {
        string? checksum;
        await using (ServedCommand serve = ServedCommand.Start(Disk()))
        {
            IReadOnlyList<string> printed = await serve.ReadArgumentsAsync("qemu-system-x86_64");
            await using GuestShell shell = await StartAsync(GuestArchitecture.X86_64, printed[^1]);
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, Serial);
            await disk.FillAsync(mebibytes: 16);
            await disk.RebindAsync();
            checksum = disk.Checksum;

            // An idle second of the guest costs the server next to nothing.
            await shell.RunAsync("sleep 1");
            TimeSpan least = TimeSpan.MaxValue;
            for (int look = 0; look < 8 && least > MostIdle; look++)
            {
                // The first looks may still have the compiler's work in them.
                TimeSpan before = serve.ProcessorTime;
                await shell.RunAsync("sleep 5");
                TimeSpan took = serve.ProcessorTime - before;
                least = took < least ? took : least;
            }

            Assert.InRange(least, TimeSpan.Zero, MostIdle);

            // The kernel waits half a minute for an I/O unless it is told to wait less.
            await shell.RunAsync("echo 2000 > /sys/block/$(basename $disk)/queue/io_timeout; echo 2000 > /sys/class/nvme/nvme0/admin_timeout 2> /dev/null; true");
            await serve.KillAsync();

            // The kernel may take the disk away before the next read or write: then that one finds no device, and still nobody waits.
            await shell.RunAsync("! dd if=$disk of=/dev/null bs=64k count=16 2> /tmp/wrong && cat /tmp/wrong && grep -Eq 'Input/output error|No such' /tmp/wrong");
            await shell.RunAsync("! dd if=/dev/zero of=$disk bs=4096 count=1 conv=fsync,notrunc 2> /dev/null");
            await shell.Guest.KillAsync();
        }

        await using (ServedCommand serve = ServedCommand.Start(Disk()))
        {
            IReadOnlyList<string> printed = await serve.ReadArgumentsAsync("qemu-system-x86_64");
            await using GuestShell shell = await StartAsync(GuestArchitecture.X86_64, printed[^1]);
            await (await LinuxDisk.FindAsync(shell, Serial, checksum)).VerifyAsync();
            await shell.PowerOffAsync();
            Assert.Equal(0, await serve.WaitForExitAsync());
        }
    }

    /// <summary>Blocks of 4096 bytes, and what Debian's nvme-cli reads, which asks for more than the kernel's driver does.</summary>
    [Fact]
    public async Task X86_LargeBlocks_SameWork_NvmeCliReadsWhatItIs()
    {
        const string Cli = "nvme-cli";
        await using ServedCommand serve = ServedCommand.Start([.. Disk(), "--block-size", "4096"]);
        IReadOnlyList<string> printed = await serve.ReadArgumentsAsync("qemu-system-x86_64");
        VmLab withCli = await VmLab.PrepareAsync(GuestArchitecture.X86_64, new LabOptions { GuestPackages = [Cli] });
        await using GuestShell shell = await GuestShell.StartAsync(withCli, await ConfigureAsync(printed[^1]) with { Packages = [Cli] });
        LinuxDisk disk = await LinuxDisk.FindAsync(shell, Serial);
        Assert.Equal("4096", await shell.AskAsync("cat /sys/block/$(basename $disk)/queue/logical_block_size"));
        await disk.WorkAsync(mebibytes: 16);

        Assert.Contains(await shell.RunAsync("nvme list"), static line => line.Contains(Serial, StringComparison.Ordinal));
        IReadOnlyList<string> controller = await shell.RunAsync("nvme id-ctrl $disk");
        Assert.Contains(controller, static line => Words(line) == $"sn : {Serial}");
        Assert.Contains(controller, static line => Words(line) == "vwc : 0x1" || Words(line) == "vwc : 0x7");
        Assert.Contains(await shell.RunAsync("nvme id-ns $disk"), static line => line.Contains("lbads:12", StringComparison.Ordinal) && line.Contains("in use", StringComparison.Ordinal));
        IReadOnlyList<string> health = await shell.RunAsync("nvme smart-log $disk");
        Assert.Contains(health, static line => Words(line) == "critical_warning : 0");
        Assert.Contains(health, static line => Words(line) == "media_errors : 0");
        Assert.Contains(await shell.RunAsync("nvme get-feature $disk -f 6"), static line => line.Contains("0x00000001", StringComparison.Ordinal) || line.Contains("value:0x1", StringComparison.OrdinalIgnoreCase));
        Assert.Contains(await shell.RunAsync("nvme flush $disk"), static line => line.Contains("success", StringComparison.Ordinal));
        await shell.RunAsync("nvme error-log $disk > /dev/null && nvme fw-log $disk > /dev/null");
        await disk.VerifyNoErrorsAsync();
        await shell.PowerOffAsync();
        Assert.Equal(0, await serve.WaitForExitAsync());
    }

    private static string Words(string line) => string.Join(' ', line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    private string[] Disk() => ["nvme", "--image", Image, "--size", "160M", "--serial", Serial, "--once", "--socket", Socket];

    /// <summary>A guest with the printed arguments, word for word as a shell takes them; only the machine's memory is theirs, not the lab's.</summary>
    private async Task<GuestShell> StartAsync(GuestArchitecture architecture, string printed, string kernelArguments = "") =>
        await GuestShell.StartAsync(await lab.OfAsync(architecture), await ConfigureAsync(printed, kernelArguments));

    private static async Task<GuestConfiguration> ConfigureAsync(string printed, string kernelArguments = "") => new()
    {
        SharedMemory = false,
        ExtraArguments = [.. await GuestShell.WordsAsync(printed), .. DeviceBench.PatientQemu],
        KernelArguments = kernelArguments,
    };

    /// <summary>How many DMA_MAPs the client sent: command 2 in the header's third and fourth byte.</summary>
    private int CountMaps()
    {
        int maps = 0;
        foreach (string line in File.ReadLines(Recording))
        {
            string[] words = line.Split(' ');
            maps += words[0] == ">" && words[2].AsSpan(4, 4) is "0200" ? 1 : 0;
        }

        return maps;
    }
}
