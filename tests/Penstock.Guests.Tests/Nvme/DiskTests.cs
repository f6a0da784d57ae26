using Penstock.Interop;
using Penstock.Lab;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>An NVMe disk served by us in unmodified x86-64 guests, driven by Linux's own driver and by the firmware's.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class DiskTests(GuestLab lab)
{
    private const ulong MegaByte = 1 << 20;
    private const int Boots = 3;

    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(6);

    /// <summary>How often a test looks for a moment of which it then tells something. What is to be found in each would be found in every one.</summary>
    private const int Looks = 10;

    /// <summary>
    /// Everything once in the plain machine: files over re-probes and resets, fewer interrupts than I/Os, not a message while nobody uses the
    /// disk, blocks given back, and the same files after a restart of the machine, whose firmware drives the disk before Linux does.
    /// </summary>
    [Fact]
    public async Task PlainMachine_FilesSurviveProbesResetsAndAReboot_IdleIsSilent()
    {
        using var bench = DiskBench.InFile();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, DiskMachines.Plain(bench.Device) with { AllowReboot = true }))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.WorkAsync();
            Assert.Equal("shadow", bench.Doorbells);
            Assert.InRange(bench.Backing.FlushCount, LinuxDisk.Mebibytes / LinuxDisk.FileMebibytes, long.MaxValue);
            Assert.Equal(0, bench.Traffic.CountAsked(VfioUserCommand.DmaRead) + bench.Traffic.CountAsked(VfioUserCommand.DmaWrite));

            await VerifyInterruptsAreSharedAsync(disk);
            Assert.InRange(await disk.TrimAsync(), 1, (long)bench.Backing.Length);

            await disk.RebindAsync();
            await VerifySilentAsync(bench, () => shell.RunAsync("sleep 3"));

            int resets = bench.Traffic.Count(VfioUserCommand.DeviceReset);
            await shell.EndAsync("reboot");
            await shell.WaitUntilReadyAsync();
            Assert.InRange(bench.Traffic.Count(VfioUserCommand.DeviceReset), resets + 1, int.MaxValue);
            disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial, disk.Checksum);
            await disk.VerifyAsync();
            await disk.VerifyNoErrorsAsync();
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>The guest's memory cannot be mapped: each queue entry and each page of data goes through a message to QEMU.</summary>
    [Fact]
    public async Task UnsharedMemory_SameWork_GoesByMessages()
    {
        using var bench = DiskBench.InMemory();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, DiskMachines.Plain(bench.Device) with { SharedMemory = false }))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.WorkAsync();
            await shell.PowerOffAsync();
        }

        Assert.Equal(0, bench.Traffic.MapsWithDescriptor);
        Assert.InRange(bench.Traffic.CountAsked(VfioUserCommand.DmaRead), 1000, int.MaxValue);
        Assert.InRange(bench.Traffic.CountAsked(VfioUserCommand.DmaWrite), 1000, int.MaxValue);
        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    [Theory]
    [InlineData("intel")]
    [InlineData("amd")]
    [InlineData("virtio")]
    public async Task BehindAnIommu_SameWork_MapsWithEachIo(string iommu)
    {
        using var bench = DiskBench.InMemory();
        GuestConfiguration configuration = iommu switch
        {
            "intel" => DiskMachines.IntelIommu(bench.Device),
            "amd" => DiskMachines.AmdIommu(bench.Device),
            _ => DiskMachines.VirtioIommu(bench.Device),
        };
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, configuration))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            int maps = bench.Traffic.Count(VfioUserCommand.DmaMap);
            await disk.WorkAsync();

            // The guest's memory as a whole is out of the disk's reach, and what is in reach changes all the time.
            Assert.DoesNotContain(bench.Traffic.LiveMaps, map => map.Size > 16 * MegaByte);
            Assert.InRange(bench.Traffic.Count(VfioUserCommand.DmaMap) - maps, 2000, int.MaxValue);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>A kernel without message signalled interrupts: one pin for the admin queue and the only other one.</summary>
    [Fact]
    public async Task InterruptPin_SameWork_NoneIsLost()
    {
        using var bench = DiskBench.InFile();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, DiskMachines.Plain(bench.Device) with { KernelArguments = "pci=nomsi" }))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            Assert.Matches("IO-APIC.* nvme0q0, nvme0q1$", await shell.AskAsync("grep nvme0q /proc/interrupts"));
            await disk.WorkAsync(mebibytes: 16);
            await disk.ReadManyAtOnceAsync(mebibytes: 16);
            Assert.Equal("registers", bench.Doorbells);
            (long ios, long interrupts) = await disk.CountAsync();
            Assert.InRange(interrupts, 1, long.MaxValue);
            Assert.InRange(ios, 1, long.MaxValue);
            await disk.VerifyNoErrorsAsync();
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>The guest rings in memory that QEMU has mapped: I/O costs no message at all.</summary>
    [Fact]
    public async Task MappedDoorbells_SameWork_WithoutMessages()
    {
        using var bench = DiskBench.Polling();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, DiskMachines.Plain(bench.Device)))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.WorkAsync(mebibytes: 16);
            (long ios, _) = await disk.CountAsync();
            await VerifySilentAsync(bench, async () =>
            {
                await disk.FillAsync(mebibytes: 16);
                await disk.ReadManyAtOnceAsync(mebibytes: 16);
            });
            Assert.InRange((await disk.CountAsync()).Ios - ios, 100, long.MaxValue);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>SeaBIOS boots from the disk, reads and writes it, and again after each of the machine's resets.</summary>
    [Fact]
    public async Task Firmware_BootsFromTheDisk_AgainAfterEachReset()
    {
        using var bench = DiskBench.InFile();
        Assert.Equal(Errno.None, bench.Backing.Write(0, BootSector.Create(Boots)));
        GuestConfiguration configuration = DiskMachines.Plain(bench.Device) with { BootsFromDisk = true, AllowReboot = true, Timeout = GuestShell.GuestTime };
        await using (Guest guest = await Guest.StartAsync(lab.Lab, configuration))
        {
            for (int boot = 1; boot <= Boots; boot++)
            {
                // One before each boot at least; the next may be there already, for the program resets the machine as soon as it has said its line.
                await guest.ShowsAsync($"{BootSector.Said}{boot}", StepTime);
                Assert.InRange(bench.Traffic.Count(VfioUserCommand.DeviceReset), boot, int.MaxValue);
            }

            byte[] sectors = new byte[1024];
            Assert.Equal(Errno.None, bench.Backing.Read(0, sectors));
            Assert.Equal(Boots, BootSector.CountBoots(sectors));
            Assert.DoesNotContain(BootSector.Failed, guest.ConsoleText, StringComparison.Ordinal);
            await guest.QmpAsync("quit");
            await guest.WaitForExitAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>QEMU is killed while the guest writes: what an fsync had returned for is there in the next machine.</summary>
    [Fact]
    public async Task Kill_WhileBusy_NextMachineFindsWhatWasFlushed()
    {
        const int Records = 40;
        using var bench = DiskBench.InFile();
        await using (GuestShell first = await GuestShell.StartAsync(lab.Lab, DiskMachines.Plain(bench.Device)))
        {
            await LinuxDisk.FindAsync(first, DiskBench.Serial);
            await first.RunAsync("(while :; do dd if=/dev/urandom of=$disk bs=64k seek=512 count=64 conv=notrunc 2> /dev/null; done) & true");
            await first.RunAsync(
                "(n=0; while n=$((n + 1)); do echo record $n | dd of=$disk bs=4096 seek=$n conv=sync,fsync,notrunc 2> /dev/null && echo flushed $n. > /dev/console; done) & true");
            await first.Guest.ShowsAsync($"flushed {Records}.", StepTime);
            await first.Guest.KillAsync();
        }

        await using (GuestShell second = await GuestShell.StartAsync(lab.Lab, DiskMachines.Plain(bench.Device)))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(second, DiskBench.Serial);
            Assert.Equal(
                Enumerable.Range(1, Records).Select(n => $"record {n}"),
                await second.RunAsync($"for n in $(seq {Records}); do dd if=$disk bs=4096 skip=$n count=1 2> /dev/null | head -n 1; done"));
            await disk.FillAsync(mebibytes: 8);
            await disk.RebindAsync();
            await disk.VerifyAsync();
            await second.PowerOffAsync();
        }

        bench.VerifyNoErrors();

        // A process that dies closes its socket as one that ends does; it may do so inside a message, though.
        SessionEndKind firstEnd = bench.FirstEnd;
        Assert.Contains(firstEnd, (SessionEndKind[])[SessionEndKind.ClientClosed, SessionEndKind.ClientVanished]);
        bench.VerifyEnds(firstEnd, SessionEndKind.ClientClosed);
    }

    /// <summary>I/Os that complete together share an interrupt. How many do depends on who gets a processor when: some, sooner or later.</summary>
    private static async Task VerifyInterruptsAreSharedAsync(LinuxDisk disk)
    {
        long ios = 0;
        long interrupts = 0;
        for (int look = 0; look < Looks && interrupts >= ios; look++)
        {
            (long iosBefore, long interruptsBefore) = await disk.CountAsync();
            await disk.ReadManyAtOnceAsync(LinuxDisk.Mebibytes);
            await disk.FillAsync(mebibytes: 16);
            (long iosAfter, long interruptsAfter) = await disk.CountAsync();
            (ios, interrupts) = (iosAfter - iosBefore, interruptsAfter - interruptsBefore);
        }

        Assert.InRange(interrupts, 1, ios - 1);
    }

    /// <summary>Something costs no message: at the first looks what was before may still be on its way, or the guest's driver at work.</summary>
    private static async Task VerifySilentAsync(DiskBench bench, Func<Task> something)
    {
        int before = 0;
        int after = 1;
        for (int look = 0; look < Looks && before != after; look++)
        {
            before = bench.Traffic.Messages;
            await something();
            after = bench.Traffic.Messages;
        }

        Assert.Equal(before, after);
    }
}
