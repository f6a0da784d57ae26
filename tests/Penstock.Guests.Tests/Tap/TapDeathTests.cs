using Penstock.Lab;
using Xunit.Sdk;

namespace Penstock.Guests.Tests;

/// <summary>
/// <c>penstock serve nvme --rpcit</c> as a process that is killed under its guest: the plugin finds its lock gone, the guest is refused a page, tells
/// QEMU all of them, and gets errors from a disk without a server. It does not hang.
/// </summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class TapDeathTests(GuestLab lab) : IDisposable
{
    private const string Serial = "served";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("penstock-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData("shadow")]
    [InlineData("nested")]
    public async Task Kill_BetweenTwoIos_GuestLivesWithErrors(string path)
    {
        string[] disk = ["nvme", "--image", Path.Combine(_folder.FullName, "image"), "--size", "64M", "--serial", Serial, "--socket", Path.Combine(_folder.FullName, "disk.sock"), "--rpcit", path];
        await using ServedCommand serve = ServedCommand.Start(disk);
        string printed = await serve.WaitForAsync(line => line.Contains("-plugin", StringComparison.Ordinal), "the arguments for QEMU");
        await using GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), new GuestConfiguration
        {
            SharedMemory = false,
            ExtraArguments = await GuestShell.WordsAsync(printed),
            KernelArguments = "iommu.strict=1",
        });
        await LinuxDisk.FindAsync(shell, Serial);
        await shell.RunAsync("dd if=/dev/urandom of=/tmp/data bs=64k count=16 2> /dev/null; dd if=/tmp/data of=$disk bs=64k conv=fsync,notrunc 2> /dev/null");
        await shell.RunAsync("echo 2000 > /sys/block/$(basename $disk)/queue/io_timeout; echo 2000 > /sys/class/nvme/nvme0/admin_timeout 2> /dev/null; true");
        try
        {
            // Between two I/Os: in the middle of a register access QEMU 11.1 may abort by itself.
            await shell.RunAsync("sleep 1");
            await serve.KillAsync();
            await shell.RunAsync("! dd if=/tmp/data of=$disk bs=4k count=16 oflag=direct conv=notrunc 2> /tmp/wrong && cat /tmp/wrong && grep -Eq 'Input/output error|No such' /tmp/wrong");
            await shell.RunAsync("[ $(dd if=$disk bs=4k count=1 iflag=direct 2> /dev/null | wc -c) = 0 ]");
            Assert.Equal("alive", await shell.AskAsync("echo alive"));
        }
        catch (Exception e) when (shell.Guest.WaitForExitAsync().IsCompleted)
        {
            GuestResult result = await shell.Guest.WaitForExitAsync();
            throw new XunitException($"QEMU has ended: {result.QemuErrors}\n{result.Console[^Math.Min(2000, result.Console.Length)..]}", e);
        }

        await shell.Guest.KillAsync();
    }
}
