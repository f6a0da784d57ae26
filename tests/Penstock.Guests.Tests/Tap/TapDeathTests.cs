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

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Between two I/Os; and while the guest writes without end, with messages unread, at which QEMU 11.1 would abort if the plugin did not hold the connection.</summary>
    [Theory]
    [InlineData("shadow", false)]
    [InlineData("nested", false)]
    [InlineData("nested", true)]
    public async Task Kill_GuestLivesWithErrors(string path, bool busy)
    {
        string[] disk = ["nvme", "--image", _folder.File("image"), "--size", "64M", "--serial", Serial, "--socket", _folder.File("disk.sock"), "--rpcit", path];
        await using ServedCommand serve = ServedCommand.Start(disk);
        string printed = await serve.WaitForAsync(line => line.Contains("-plugin", StringComparison.Ordinal), "the arguments for QEMU");
        await using GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), new GuestConfiguration
        {
            SharedMemory = false,
            ExtraArguments = [.. await GuestShell.WordsAsync(printed), .. DeviceBench.PatientQemu],
            KernelArguments = "iommu.strict=1",
        });
        await LinuxDisk.FindAsync(shell, Serial);
        await shell.RunAsync("dd if=/dev/urandom of=/tmp/data bs=64k count=16 2> /dev/null; dd if=/tmp/data of=$disk bs=64k conv=fsync,notrunc 2> /dev/null");

        // Less than the kernel's half a minute, but not so little that the guest gives up a server that only stands still for a moment.
        await shell.RunAsync("echo 10000 > /sys/block/$(basename $disk)/queue/io_timeout; echo 10000 > /sys/class/nvme/nvme0/admin_timeout 2> /dev/null; true");
        try
        {
            if (busy)
            {
                await shell.RunAsync("(for w in 1 2 3 4; do (while dd if=/tmp/data of=$disk bs=4k seek=${w}000 oflag=direct conv=notrunc 2> /tmp/ending$w; do :; done) & done; wait; cat /tmp/ending* > /tmp/ended) &");
                await shell.RunAsync("sleep 1; [ ! -e /tmp/ended ]");
                await serve.KillWithMessagesUnreadAsync(TimeSpan.FromMilliseconds(300));
                await shell.RunAsync("until [ -e /tmp/ended ]; do sleep 0.1; done; cat /tmp/ended && grep -Eq 'Input/output error|No such' /tmp/ended");
            }
            else
            {
                await shell.RunAsync("sleep 1");
                await serve.KillAsync();
            }

            await shell.RunAsync("! dd if=/tmp/data of=$disk bs=4k count=16 oflag=direct conv=notrunc 2> /tmp/wrong && cat /tmp/wrong && grep -Eq 'Input/output error|No such|No space|Read-only file system' /tmp/wrong");
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
