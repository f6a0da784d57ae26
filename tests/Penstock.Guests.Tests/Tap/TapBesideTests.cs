using Penstock.Hypervisor;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>A tapped s390x guest with two processors, and a disk of QEMU's own beside ours: that one works only if its RPCITs reach QEMU.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class TapBesideTests(GuestLab lab) : IDisposable
{
    private const string Serial = "emulated";
    private const long DiskBytes = 64 << 20;
    private const int Mebibytes = 16;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(RpcitPath.Shadow)]
    [InlineData(RpcitPath.Nested)]
    public async Task TwoProcessors_EmulatedDiskBeside_BothWork(RpcitPath path)
    {
        string image = _folder.File("image");
        await using (FileStream file = File.Create(image))
        {
            file.SetLength(DiskBytes);
        }

        using var bench = new TapBench(path);
        GuestConfiguration configuration = await bench.ConfigureAsync();
        configuration = configuration with
        {
            KernelArguments = "iommu.strict=1",
            Devices = [.. configuration.Devices, QemuDevice.Zpci(8, 10, Serial), $"nvme,id={Serial},drive=image,serial={Serial}"],
            ExtraArguments = [.. configuration.ExtraArguments, "-smp", "2", "-drive", $"if=none,id=image,format=raw,file={image}"],
        };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            Assert.Equal("2", await shell.AskAsync("ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l"));
            LinuxDisk ours = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            LinuxDisk theirs = await LinuxDisk.FindAsync(shell, Serial);
            await ours.FillAsync(Mebibytes);
            await theirs.FillAsync(Mebibytes);

            // Both at once, on both processors, from the disks and not from what the guest remembers.
            await shell.RunAsync(
                $"cat /mnt/disk/file0 > /tmp/file0; for w in 1 2; do for s in disk {Serial}; do (dd if=/tmp/file0 of=/mnt/$s/busy$w bs=64k conv=fsync 2> /dev/null && echo 1 > /proc/sys/vm/drop_caches && cmp /tmp/file0 /mnt/$s/busy$w || touch /run/failed) & done; done; wait; [ ! -e /run/failed ]");
            await shell.RunAsync($"rm /tmp/file0 /mnt/disk/busy* /mnt/{Serial}/busy*");
            await ours.RebindAsync();
            await ours.VerifyAsync();
            await theirs.RebindAsync();
            await theirs.VerifyAsync();
            await theirs.VerifyNoErrorsAsync();
            Assert.Equal(path, bench.Served.Tap.Path);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoMaps();
    }
}
