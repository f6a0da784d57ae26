namespace Penstock.Lab.Tests;

/// <summary>Real guests in the default lab, which is prepared on first use.</summary>
[Trait("Category", "VM")]
public sealed class GuestTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(10);

    [Fact]
    public async Task Run_ScriptWithExitStatus_GivesStatusConsoleAndFiles()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var lines = new List<string>();
        var result = await Guest.RunAsync(lab, new GuestConfiguration
        {
            Timeout = Limit,
            Script = "cat /data/greeting; ls -l /data/tool | cut -c1-10; grep -l 0x00ff00 /sys/bus/pci/devices/*/class; lsmod | grep -q uio_pci_generic || exit 9; exit 3",
            Files = [GuestFile.FromText("/data/greeting", "hello from the host\n"), GuestFile.FromText("/data/tool", "", GuestFile.Executable)],
            Devices = ["edu"],
            Modules = ["uio-pci-generic"],
            ConsoleSink = lines.Add,
        });
        Assert.Equal(3, result.ExitStatus);
        Assert.False(result.TimedOut);
        Assert.Null(result.QemuErrors);
        Assert.Contains("hello from the host\n-rwxr-xr-x\n/sys/bus/pci/devices/", result.Console, StringComparison.Ordinal);
        Assert.Contains("hello from the host", lines);
    }

    [Theory]
    [InlineData(GuestArchitecture.S390x, "s390x")]
    [InlineData(GuestArchitecture.Ppc64le, "ppc64le")]
    public async Task Run_OtherArchitecture_BootsLoadsVfioAndMountsExt4(GuestArchitecture architecture, string machine)
    {
        var lab = await VmLab.PrepareAsync(architecture);
        var result = await Guest.RunAsync(lab, new GuestConfiguration
        {
            Timeout = Limit,
            Modules = ["vfio-pci", "loop", "ext4"],
            Script = """
                echo machine $(uname -m)
                ls /dev/vfio/vfio
                truncate -s 4M /disk
                mke2fs -F /disk > /dev/null
                mount -t ext4 -o loop /disk /mnt && echo mounted
                """,
        });
        result.AssertSuccess();
        Assert.Contains($"machine {machine}\n/dev/vfio/vfio\nmounted\n", result.Console, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(GuestArchitecture.X86_64)]
    [InlineData(GuestArchitecture.S390x)]
    [InlineData(GuestArchitecture.Ppc64le)]
    public async Task Run_PackageOfDebian_ItsProgramsRun(GuestArchitecture architecture)
    {
        var lab = await VmLab.PrepareAsync(architecture, new LabOptions { GuestPackages = ["pciutils"] });
        var result = await Guest.RunAsync(lab, new GuestConfiguration
        {
            Timeout = Limit,
            Packages = ["pciutils"],
            Devices = ["virtio-rng-pci"],
            // By both of its names, /bin/lspci and /usr/bin/lspci; the script's shell stays busybox's.
            Script = "lspci -nnk && /bin/lspci -n > /dev/null && readlink /proc/$$/exe",
        });
        result.AssertSuccess();
        Assert.Contains("Red Hat, Inc. Virtio", result.Console, StringComparison.Ordinal);
        Assert.Contains("Kernel driver in use: virtio-pci\n", result.Console, StringComparison.Ordinal);
        Assert.Contains("\n/bin/busybox\n", result.Console, StringComparison.Ordinal);
        Assert.DoesNotContain("libkmod", result.Console, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_TimeOver_KillsTheGuestAndSaysSo()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var mark = "penstock.mark=" + Guid.NewGuid().ToString("N");
        var result = await RunOutOfTimeAsync(lab, new GuestConfiguration { KernelArguments = mark, Script = "sleep 6000" });
        Assert.True(result.TimedOut);
        Assert.Null(result.ExitStatus);
        Assert.Empty(SupervisedProcessTests.ProcessesWith(mark));
    }

    /// <summary>Gives a guest just so much time that its QEMU starts: how much that is depends on the machine.</summary>
    private static async Task<GuestResult> RunOutOfTimeAsync(VmLab lab, GuestConfiguration configuration)
    {
        for (var timeout = TimeSpan.FromSeconds(1); ; timeout *= 4)
        {
            try
            {
                return await Guest.RunAsync(lab, configuration with { Timeout = timeout });
            }
            catch (LabException e) when (timeout < Limit && e.Message.Contains("did not get ready in the guest's time", StringComparison.Ordinal))
            {
            }
        }
    }

    [Fact]
    public async Task Dispose_RunningGuest_LeavesNoProcessAndNoFile()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var mark = "penstock.mark=" + Guid.NewGuid().ToString("N");
        string folder;
        await using (var guest = await Guest.StartAsync(lab, new GuestConfiguration { KernelArguments = mark }))
        {
            var arguments = SupervisedProcessTests.CommandLine(SupervisedProcessTests.ProcessesWith(mark)[0]).Split('\0');
            folder = Path.GetDirectoryName(arguments[Array.IndexOf(arguments, "-initrd") + 1])!;
            Assert.True(Directory.Exists(folder));
        }

        Assert.Empty(SupervisedProcessTests.ProcessesWith(mark));
        Assert.False(Directory.Exists(folder));
    }

    [Fact]
    public async Task Run_Cancelled_LeavesNoProcess()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var mark = "penstock.mark=" + Guid.NewGuid().ToString("N");
        using var cancel = new CancellationTokenSource();
        var run = Guest.RunAsync(lab, new GuestConfiguration { KernelArguments = mark, ConsoleSink = _ => cancel.Cancel() }, cancel.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run);
        Assert.Empty(SupervisedProcessTests.ProcessesWith(mark));
    }

    [Fact]
    public async Task Start_DeviceThatQemuRefuses_GivesItsWords()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var unknown = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(lab, new GuestConfiguration { Devices = ["no-such-device"] }));
        Assert.Contains("'no-such-device' is not a valid device model name", unknown.Message, StringComparison.Ordinal);
        var absent = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(
            lab, new GuestConfiguration { Devices = [QemuDevice.VfioUser("/nowhere/device.sock", "vu0")] }));
        Assert.Contains("/nowhere/device.sock", absent.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_ModuleNotInTheLab_NamesIt()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var error = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(lab, new GuestConfiguration { Modules = ["nvme", "no-such"] }));
        Assert.Contains("kernel module no-such is not in the lab", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_FromDiskWithAScript_IsRefused()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        GuestConfiguration[] wrong =
        [
            new() { Script = "true" },
            new() { KernelArguments = "quiet" },
            new() { Modules = ["nvme"] },
            new() { Files = [GuestPrograms.NvmeDisk()] },
        ];
        foreach (var configuration in wrong)
        {
            var error = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(lab, configuration with { BootsFromDisk = true }));
            Assert.Contains("let BootsFromDisk be false", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Guest_SteeredFromTheHost_AnswersResetsAndReportsState()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        await using var guest = await Guest.StartAsync(lab, new GuestConfiguration
        {
            Timeout = Limit,
            Script = "echo what next; read answer; echo got $answer; [ $answer = stop ] && exit 5; echo stay > /run/penstock-ending",
            AllowReboot = true,
        });
        await guest.ShowsAsync("what next", Limit);
        await guest.SendLineAsync("go on");
        Assert.Equal("got go on", await guest.ShowsAsync("got", Limit));
        await guest.ShowsAsync("penstock-lab: exit 0", Limit);
        Assert.Equal("running", (await guest.QmpAsync("query-status")).GetProperty("status").GetString());
        var refused = await Assert.ThrowsAsync<LabException>(() => guest.QmpAsync("""{"execute":"no-such-command"}"""));
        Assert.Contains("no-such-command", refused.Message, StringComparison.Ordinal);
        await guest.QmpAsync("system_reset");
        await guest.ShowsAsync("what next", Limit);
        await guest.SendLineAsync("stop");
        var result = await guest.WaitForExitAsync();
        Assert.Equal(5, result.ExitStatus);
        await Assert.ThrowsAsync<LabException>(() => guest.QmpAsync("query-status"));
        await Assert.ThrowsAsync<LabException>(() => guest.WaitForLineAsync("never", Limit));
    }

    [Fact]
    public async Task GpioLines_SimulatedChip_ReadsSetsAndWatches()
    {
        var lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);
        var result = await Guest.RunAsync(lab, new GuestConfiguration
        {
            Timeout = Limit,
            Modules = ["gpio-sim"],
            Files = [GuestPrograms.GpioLines(GuestArchitecture.X86_64)],
            Script = """
                mount -t configfs none /sys/kernel/config
                cd /sys/kernel/config/gpio-sim
                mkdir -p demo/bank
                echo 32 > demo/bank/num_lines
                echo 1 > demo/live
                chip=/dev/$(cat demo/bank/chip_name)
                pull=/sys/devices/platform/$(cat demo/dev_name)/$(cat demo/bank/chip_name)
                gpio-lines info $chip | grep lines || exit 10
                echo pull-up > $pull/sim_gpio20/pull
                echo values $(gpio-lines get $chip 16 20 31) || exit 11
                echo 1 > /sys/kernel/tracing/events/gpio/gpio_value/enable
                gpio-lines set $chip 0=1 3=0 15=1 || exit 12
                echo levels $(grep -o 'set [01]' /sys/kernel/tracing/trace)
                mkfifo /run/events
                gpio-lines watch $chip 3 600000 16 20 > /run/events &
                {
                  read -r line
                  echo "first: $line"
                  echo pull-up > $pull/sim_gpio16/pull
                  read -r line
                  echo "$line"
                  echo pull-down > $pull/sim_gpio20/pull
                  echo pull-down > $pull/sim_gpio16/pull
                  cat
                } < /run/events
                wait $! || exit 13
                gpio-lines watch $chip 1 50 16 && exit 14
                gpio-lines get $chip 99 && exit 15
                exit 0
                """,
        });
        result.AssertSuccess();
        Assert.Contains("lines 32\nvalues 0 1 0\nlevels set 1 set 0 set 1\n", result.Console, StringComparison.Ordinal);
        Assert.Contains("first: ready\nline 16 rising\nline 20 falling\nline 16 falling\nevents 3\nready\nevents 0\n", result.Console, StringComparison.Ordinal);
        Assert.Contains("gpio-lines: cannot request the lines: errno 22\n", result.Console, StringComparison.Ordinal);
    }
}
