using Penstock.Hypervisor;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>
/// An unmodified s390x Linux whose RPCIT does not reach QEMU: its own I/O tables are the disk's translation. Several checks in each boot, because a
/// boot is what costs time.
/// </summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class TapTests(GuestLab lab)
{
    /// <summary>Where the function's slot is switched off and on; its name is the function identifier.</summary>
    private const string Power = "/sys/bus/pci/slots/00000009/power";

    /// <summary>Tables that change with each I/O, or whose stale entries go all at once.</summary>
    private const string Strict = "iommu.strict=1";
    private const string Lazy = "iommu.strict=0";

    [Theory]
    [InlineData(RpcitPath.Shadow, Strict)]
    [InlineData(RpcitPath.Shadow, Lazy)]
    [InlineData(RpcitPath.Nested, Strict)]
    [InlineData(RpcitPath.Nested, Lazy)]
    [Trait("Row", "S3-1")]
    public async Task FastPath_FilesResetsRebindPowerCycleReboot_NoMapEver(RpcitPath path, string iommu)
    {
        using var bench = new TapBench(path);
        GuestConfiguration configuration = await bench.ConfigureAsync() with { KernelArguments = iommu, AllowReboot = true };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.FillAsync();
            Assert.Equal(path, bench.Served.Tap.Path);
            await disk.RebindAsync();
            await disk.VerifyAsync();
            await disk.ResetWhileBusyAsync(times: 2);

            await shell.RunAsync("umount /mnt/*");
            long lent = bench.Served.Tap.Counters.Lent;
            await shell.RunAsync($"echo 0 > {Power} && [ ! -e $disk ] && echo 1 > {Power}");
            disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial, disk.Checksum);
            await disk.VerifyAsync();
            Assert.InRange(bench.Served.Tap.Counters.Lent, lent + 1, long.MaxValue);

            await shell.EndAsync("reboot");
            await shell.WaitUntilReadyAsync();
            disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial, disk.Checksum);
            await disk.VerifyAsync();
            await disk.VerifyNoErrorsAsync();
            Assert.Equal(path, bench.Served.Tap.Path);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoMaps();
        TapCounters counters = bench.Served.Tap.Counters;
        Assert.InRange(path == RpcitPath.Shadow ? counters.Asked : counters.ByRing, 1000, long.MaxValue);
    }

    /// <summary>Out of the fast path and back while two programs write, twice: QEMU tells every page at the way out.</summary>
    [Theory]
    [InlineData(RpcitPath.Shadow)]
    [InlineData(RpcitPath.Nested)]
    public async Task Handover_UnderLoad_DataRight(RpcitPath path)
    {
        using var bench = new TapBench(path);
        GuestConfiguration configuration = await bench.ConfigureAsync() with { KernelArguments = Strict };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.FillAsync(mebibytes: 16);
            Assert.Equal(0, bench.Served.Traffic.Maps);
            await shell.RunAsync(
                "touch /run/busy; for w in 1 2; do (while [ -e /run/busy ]; do dd if=/mnt/disk/file0 of=/mnt/disk/busy$w bs=64k conv=fsync 2> /dev/null || touch /run/failed; done) & done");
            for (int round = 0; round < 2; round++)
            {
                bench.Served.Tap.SwitchTo(RpcitPath.Fallback);
                await bench.WaitForPathAsync(RpcitPath.Fallback);
                long maps = bench.Served.Traffic.Maps;
                Assert.InRange(maps, 1, long.MaxValue);
                await shell.RunAsync("sleep 1");
                Assert.InRange(bench.Served.Traffic.Maps, maps + 1, long.MaxValue);

                bench.Served.Tap.SwitchTo(path);
                await bench.WaitForPathAsync(path);

                // One that QEMU has in hand may still come.
                await shell.RunAsync("sleep 1");
                maps = bench.Served.Traffic.Maps;
                await shell.RunAsync("sleep 1");
                Assert.Equal(maps, bench.Served.Traffic.Maps);
            }

            await shell.RunAsync("rm /run/busy; wait; [ ! -e /run/failed ] && cmp /mnt/disk/file0 /mnt/disk/busy1 && cmp /mnt/disk/file0 /mnt/disk/busy2");
            await shell.RunAsync("rm /mnt/disk/busy*");
            await disk.RebindAsync();
            await disk.VerifyAsync();
            await disk.VerifyNoErrorsAsync();
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        Assert.InRange(bench.Served.Tap.Counters.Refused, 0, 4);
    }
}
