using System.Diagnostics;
using System.IO.Compression;
using Penstock.Hypervisor;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>A tap that only listens: what it writes down of a real guest tells every message that QEMU sends, in order.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class TapRecordingTests(GuestLab lab) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    [Trait("Row", "S3-1")]
    [Trait("Row", "S3-2")]
    public async Task Recording_OfTheSlowPath_PredictsEveryMessage()
    {
        string file = _folder.File("guest.calls.txt.gz");
        var messages = new MappingLines();
        await using (var writer = new StreamWriter(new GZipStream(File.Create(file), CompressionLevel.SmallestSize)))
        {
            using var bench = new TapBench(RpcitPath.Fallback, writer, messages);
            GuestConfiguration configuration = await bench.ConfigureAsync() with
            {
                Files = [GuestPrograms.VfioNvme()],
                Modules = ["vfio_iommu_type1", "vfio-pci"],
                KernelArguments = "iommu.strict=1",
            };
            await using GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration);
            await shell.RunAsync("slot=$(basename /sys/bus/pci/devices/*); echo vfio-pci > /sys/bus/pci/devices/$slot/driver_override; echo $slot > /sys/bus/pci/drivers_probe");
            bench.Served.Tap.Mark("vfio");

            await shell.RunAsync("vfio-nvme /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/$slot/iommu_group)) $slot 256");
            await shell.PowerOffAsync();
            bench.VerifyNoErrors();
        }

        await VerifyAsync(file, messages, least: 100);
    }

    /// <summary>Interrupts come between nearly every RPCIT and its result, and their handlers do RPCITs: page by page, or at times of everything.</summary>
    [Theory]
    [InlineData("iommu.strict=1")]
    [InlineData("iommu.strict=0")]
    [Trait("Row", "S3-2")]
    public async Task Recording_OfABusyDisk_PredictsEveryMessage(string arguments)
    {
        string file = _folder.File("guest.calls.txt.gz");
        var messages = new MappingLines();
        await using (var writer = new StreamWriter(new GZipStream(File.Create(file), CompressionLevel.Fastest)))
        {
            using var bench = new TapBench(RpcitPath.Fallback, writer, messages);
            GuestConfiguration configuration = await bench.ConfigureAsync() with { KernelArguments = arguments };
            await using GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration);
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await shell.RunAsync(
                "for w in 1 2 3 4 5 6; do (for i in $(seq 8); do dd if=/dev/zero of=$disk bs=128k count=2 seek=$((w * 40 + i)) oflag=direct conv=notrunc 2> /dev/null && dd if=$disk of=/dev/null bs=12k count=4 skip=$((w * 300 + i)) iflag=direct 2> /dev/null || touch /run/failed; done) & done; wait; [ ! -e /run/failed ]");
            await disk.RebindAsync();
            await shell.PowerOffAsync();
            bench.VerifyNoErrors();
        }

        await VerifyAsync(file, messages, least: 1000);
    }

    /// <summary>What the recording tells is what QEMU has sent, in order.</summary>
    private static async Task VerifyAsync(string file, MappingLines messages, int least)
    {
        string[] told = await ReplayAsync(file);
        Assert.InRange(told.Length, least, int.MaxValue);

        // What QEMU does at its own end is no answer to a call.
        Assert.Equal(told, messages.Lines.Take(told.Length));
        Assert.All(messages.Lines.Skip(told.Length), line => Assert.StartsWith("U 0 ", line, StringComparison.Ordinal));
    }

    private static async Task<string[]> ReplayAsync(string file)
    {
        using Process replay = Process.Start(new ProcessStartInfo(WorkingCopy.Program, ["replay", "zpci", file]) { RedirectStandardOutput = true })!;
        string said = await replay.StandardOutput.ReadToEndAsync();
        await replay.WaitForExitAsync();
        Assert.Equal(0, replay.ExitCode);
        return said.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
