using Penstock.Hypervisor;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.Specs.Zpci;

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

    /// <summary>Tables change with each I/O. A group of type DMA-FQ is lazy instead: stale entries go all at once.</summary>
    private const string Strict = "iommu.strict=1";

    [Theory]
    [InlineData(RpcitPath.Shadow)]
    [InlineData(RpcitPath.Nested)]
    [Trait("Row", "S3-3")]
    public async Task FastPath_FilesResetsRebindPowerCycleReboot_NoMapEver(RpcitPath path)
    {
        using var bench = new TapBench(path);
        GuestConfiguration configuration = await bench.ConfigureAsync() with { KernelArguments = Strict, AllowReboot = true };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.FillAsync();
            Assert.Equal(path, bench.Served.Tap.Path);
            await disk.RebindAsync();
            await disk.VerifyAsync();

            await shell.RunAsync("umount /mnt/*");
            long lent = bench.Served.Tap.Counters.Lent;
            await shell.RunAsync($"echo 0 > {Power} && [ ! -e $disk ] && echo 1 > {Power}");
            disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial, disk.Checksum);
            Assert.InRange(bench.Served.Tap.Counters.Lent, lent + 1, long.MaxValue);

            await shell.RunAsync("type=$(readlink -f /sys/bus/pci/devices/$slot/iommu_group)/type; [ $(cat $type) = DMA ] && echo DMA-FQ > $type && [ $(cat $type) = DMA-FQ ]");
            await disk.VerifyAsync();
            await disk.ResetWhileBusyAsync(times: 2);

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

    /// <summary>
    /// A user of VFIO in the guest, with the disk's controller: ranges of both permissions, and refusals, are the same whoever answers RPCIT.
    /// </summary>
    [Fact]
    public async Task GuestVfio_ReadOnlyAndReadWriteRanges_SameOnEveryPath()
    {
        using var bench = new TapBench(RpcitPath.Fallback);
        GuestConfiguration configuration = await bench.ConfigureAsync() with { Files = [GuestPrograms.VfioNvme()], Modules = ["vfio_iommu_type1", "vfio-pci"] };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            await shell.RunAsync("slot=$(basename /sys/bus/pci/devices/*); echo vfio-pci > /sys/bus/pci/devices/$slot/driver_override; echo $slot > /sys/bus/pci/drivers_probe");
            await shell.RunAsync("group=$(basename $(readlink /sys/bus/pci/devices/$slot/iommu_group)); [ -e /dev/vfio/$group ]");
            foreach (RpcitPath path in (RpcitPath[])[RpcitPath.Fallback, RpcitPath.Shadow, RpcitPath.Nested])
            {
                bench.Served.Tap.SwitchTo(path);
                long maps = bench.Served.Traffic.Maps;
                IReadOnlyList<string> said = await shell.RunAsync("vfio-nvme /dev/vfio/$group $slot 512");
                Assert.Contains("vfio-nvme: refused 3 writes", said);
                Assert.Contains("vfio-nvme: mapped 512 pages, every second one read-only", said);
                Assert.Equal("vfio-nvme: done 0 errors", said[^1]);
                Assert.InRange(bench.Served.Traffic.Maps - maps, path == RpcitPath.Fallback ? 512 : 0, path == RpcitPath.Fallback ? 2048 : 0);
            }

            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
    }

    /// <summary>
    /// A region entry whose table has a length that the architecture does not allow, which Linux does not look at: the plugin leaves the next RPCIT to
    /// QEMU, which finds the error and reports it to the guest.
    /// </summary>
    [Fact]
    [Trait("Row", "S3-3")]
    public async Task Nested_WrongTable_QemuReportsIt()
    {
        using var bench = new TapBench(RpcitPath.Nested);
        GuestConfiguration configuration = await bench.ConfigureAsync() with { KernelArguments = Strict };
        await using GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration);
        await LinuxDisk.FindAsync(shell, DiskBench.Serial);
        await shell.RunAsync("dd if=$disk of=/dev/null bs=4k count=16 iflag=direct");
        TapCounters before = bench.Served.Tap.Counters;
        IoatRegistration tables = Assert.NotNull(bench.Served.Tap.FindRegistration());
        Assert.Equal(ZpciDesignationType.RegionThird, tables.Iota.DesignationType);
        ulong place = tables.Iota.Origin + ((tables.Aperture.First >> (int)ZpciTableLevel.RegionThird) % ZpciIoTable.TableEntries * ZpciIoTable.EntrySize);
        byte[] entry = new byte[ZpciIoTable.EntrySize];
        Assert.Equal(Errno.None, bench.Served.Vm.Memory.Read(place, entry));
        byte low = entry[^1];
        Assert.Equal(ZpciIoTable.LengthMask, low & ZpciIoTable.LengthMask);

        entry[^1] = (byte)(low & ~ZpciIoTable.LengthMask);
        Assert.Equal(Errno.None, bench.Served.Vm.Memory.Write(place, entry));
        await shell.RunAsync("dd if=$disk of=/dev/null bs=4k count=16 iflag=direct 2> /dev/null & for i in $(seq 3000); do dmesg | grep -q 'Event 0x8 reports an error' && break; sleep 0.1; done; dmesg | grep 'Event 0x8 reports an error'");
        entry[^1] = low;
        Assert.Equal(Errno.None, bench.Served.Vm.Memory.Write(place, entry));

        Assert.InRange(bench.Served.Tap.Counters.LeftToQemu, before.LeftToQemu + 1, long.MaxValue);
        Assert.Equal("alive", await shell.AskAsync("echo alive"));
        await shell.Guest.KillAsync();
    }

    /// <summary>Out of the fast path and back while two programs write, twice: QEMU tells every page at the way out.</summary>
    [Theory]
    [InlineData(RpcitPath.Shadow)]
    [InlineData(RpcitPath.Nested)]
    [Trait("Row", "S3-13")]
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
                await bench.WaitForMapsAsync();

                bench.Served.Tap.SwitchTo(path);
                await bench.WaitForPathAsync(path);

                await bench.WaitUntilNoMapsComeAsync();
            }

            await shell.RunAsync("rm /run/busy; wait; [ ! -e /run/failed ] && cmp /mnt/disk/file0 /mnt/disk/busy1 && cmp /mnt/disk/file0 /mnt/disk/busy2");
            await shell.RunAsync("rm /mnt/disk/busy*");
            await disk.RebindAsync();
            await disk.VerifyAsync();
            await disk.VerifyNoErrorsAsync();
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();

        // One each time that it is left, and before it any number of unmaps, after which Linux does not try again.
        Assert.InRange(bench.Served.Tap.Counters.Refused, 2, long.MaxValue);
    }
}
