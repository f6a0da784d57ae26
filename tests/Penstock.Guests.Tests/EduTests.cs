using System.Globalization;
using Penstock.Lab;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>
/// The EDU device behind the guest's IOMMU, driven from the guest's user space through the guest kernel's own VFIO: what the guest's program
/// maps page by page reaches the server page by page, through the guest kernel's page tables and QEMU.
/// </summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class EduTests(GuestLab lab)
{
    private const int Pages = 6000;

    /// <summary>The program maps so many more with one call.</summary>
    private const int RangePages = 1024;

    private const int Messages = 50;
    private const int PinInterrupts = 10;
    private const int Copies = 16;

    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(6);

    // The kernel's own messages would come in the middle of the lines.
    private const string Script = """
        dmesg -n 1
        for d in /sys/bus/pci/devices/*; do
          [ "$(cat $d/vendor)$(cat $d/device)" = 0x12340x11e8 ] && device=$d
        done
        slot=$(basename $device)
        echo vfio-pci > $device/driver_override
        echo $slot > /sys/bus/pci/drivers_probe
        [ "$(basename $(readlink $device/driver))" = vfio-pci ] || exit 3
        vfio-edu /dev/vfio/$(basename $(readlink $device/iommu_group)) $slot $pages 2>&1
        status=$?
        echo "vfio-edu: left $status"
        exit $status
        """;

    [Fact]
    public async Task BehindIntelIommu_DrivenThroughTheGuestsVfio_MapsByTheThousandCopiesAndInterrupts()
    {
        using var bench = new EduBench();
        await VerifyAsync(bench, bench.Configuration, Pages);
        Assert.InRange(bench.Traffic.MapsWithDescriptor, 2 * Pages, int.MaxValue);
        Assert.InRange(bench.Traffic.LargestUnmap, 1000, int.MaxValue);
    }

    /// <summary>The guest's memory cannot be mapped: each transfer is a message to QEMU, which looks the address up in the guest's tables.</summary>
    [Fact]
    public async Task UnsharedMemoryBehindIntelIommu_SameProgram_CopiesByMessages()
    {
        const int FewPages = 512;
        using var bench = new EduBench();
        await VerifyAsync(bench, bench.Configuration with { SharedMemory = false }, FewPages);
        Assert.Equal(0, bench.Traffic.MapsWithDescriptor);
    }

    /// <summary>The judge of the program, and so of the model: QEMU's own EDU device in the place of ours.</summary>
    [Fact]
    public async Task SameProgram_WithQemusOwnDevice_FindsTheSame()
    {
        const int FewPages = 256;
        await using Guest guest = await Guest.StartAsync(lab.Lab, Configure(new GuestConfiguration { Devices = ["edu"] }, FewPages));
        await WorkAsync(guest, FewPages);
        await guest.SendLineAsync("go");
        await StepAsync(guest, "refused 1 write to read-only memory");
        await StepAsync(guest, $"unmapped {FewPages + RangePages} pages ?");
        await guest.SendLineAsync("go");
        await StepAsync(guest, $"mapped {FewPages} pages ?");
        await guest.SendLineAsync("go");
        await StepAsync(guest, "left 0");
        (await guest.WaitForExitAsync()).AssertSuccess();
    }

    /// <summary>Runs the program in a guest and compares what it says with what the device and the server see.</summary>
    private async Task VerifyAsync(EduBench bench, GuestConfiguration configuration, int pages)
    {
        await using (Guest guest = await Guest.StartAsync(lab.Lab, Configure(configuration, pages)))
        {
            await WorkAsync(guest, pages);

            // Each copy is two transfers, each with its interrupt; the device saw what the program says.
            DeviceBench.Settle((4L * Copies, 4L * Copies * 4096), () => (bench.Edu.Transfers, bench.Edu.TransferredBytes));
            DeviceBench.Settle(PinInterrupts + Messages + (4L * Copies), () => bench.Edu.InterruptsRaised);
            Assert.Equal((1L, 0L), (bench.Edu.Factorials, bench.Edu.FailedTransfers));
            Assert.InRange(bench.LiveMaps, pages, int.MaxValue);
            int mapped = bench.Traffic.LiveMaps.Count(map => map.Size == 4096);
            Assert.InRange(mapped, pages, int.MaxValue);
            int readOnly = bench.Traffic.ReadOnlyMaps;
            await guest.SendLineAsync("go");

            await StepAsync(guest, "refused 1 write to read-only memory");
            await StepAsync(guest, $"unmapped {pages + RangePages} pages ?");
            Assert.InRange(bench.Traffic.ReadOnlyMaps, readOnly + 1, int.MaxValue);
            DeviceBench.Settle(2, () => bench.Edu.FailedTransfers);
            DeviceBench.Settle(2, () => bench.Notices.Count);
            Assert.Collection(
                bench.Notices,
                line => Assert.EndsWith("failed: the mapping does not let devices write", line, StringComparison.Ordinal),
                line => Assert.EndsWith("failed: nothing is mapped there", line, StringComparison.Ordinal));
            DeviceBench.Settle(true, () => bench.LiveMaps <= 64);
            await guest.SendLineAsync("go");

            // What the kernel takes away by itself when the program leaves comes as unmaps of whole stretches.
            await StepAsync(guest, $"mapped {pages} pages ?");
            Assert.InRange(bench.LiveMaps, pages, int.MaxValue);
            await guest.SendLineAsync("go");
            await StepAsync(guest, "left 0");
            GuestResult result = await guest.WaitForExitAsync();
            Assert.Equal((0, (string?)null), (result.ExitStatus, result.QemuErrors));
        }

        Assert.InRange(bench.Traffic.Count(VfioUserCommand.DmaMap), 2 * pages, int.MaxValue);
        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    private static GuestConfiguration Configure(GuestConfiguration device, int pages) => device with
    {
        Machine = QemuDevice.SplitIrqchipMachine,
        Devices = [QemuDevice.IntelIommu, .. device.Devices],
        KernelArguments = $"intel_iommu=on iommu.strict=1 {GuestShell.QuietKernel}",
        Timeout = GuestShell.GuestTime,
        Modules = ["vfio", "vfio_iommu_type1", "vfio-pci"],
        Files = [GuestPrograms.VfioEdu(GuestArchitecture.X86_64)],
        Script = string.Create(CultureInfo.InvariantCulture, $"pages={pages}\n{Script}"),
    };

    private static async Task WorkAsync(Guest guest, int pages)
    {
        await StepAsync(guest, "opened 1048576 bytes of BAR 0");
        await StepAsync(guest, $"pin {PinInterrupts} interrupts");
        await StepAsync(guest, $"messages {Messages} interrupts");
        await StepAsync(guest, $"copied {Copies} pages by DMA");
        await StepAsync(guest, $"copied {Copies} pages by DMA");
        await StepAsync(guest, $"mapped {pages + RangePages} pages ?");
    }

    private static Task<string> StepAsync(Guest guest, string said) => guest.ShowsAsync($"vfio-edu: {said}", StepTime);
}
