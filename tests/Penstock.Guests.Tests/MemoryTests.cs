using Penstock.Lab;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>Guests whose memory comes in other ways. The card does no DMA: that the maps are accepted is all there is to see here.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class MemoryTests(GuestLab lab)
{
    private const ulong MegaByte = 1 << 20;

    [Fact]
    public async Task SharedMemory_ComesWithDescriptors_AllMapsAccepted()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            Assert.InRange(bench.Traffic.MapsWithDescriptor, 1, int.MaxValue);
            Assert.Contains(bench.Traffic.LiveMaps, map => map.Size > 256 * MegaByte);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    [Fact]
    public async Task UnsharedMemory_ComesWithoutDescriptors_AllMapsAcceptedAndDeviceWorks()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration with { SharedMemory = false }))
        {
            await Procedures.VerifyWorksAsync(bench, await LinuxCard.LoadAsync(shell));
            Assert.Equal(0, bench.Traffic.MapsWithDescriptor);
            Assert.Contains(bench.Traffic.LiveMaps, map => map.Size > 256 * MegaByte);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>QEMU's VT-d unmaps powers of two over the whole address space, mapped or not, up to an end at exactly 2^64.</summary>
    [Fact]
    public async Task IntelIommu_UnmapsOfOddRanges_AreAcceptedAndDeviceWorks()
    {
        using var bench = new CardBench();
        GuestConfiguration configuration = bench.Configuration with
        {
            Machine = QemuDevice.SplitIrqchipMachine,
            Devices = [QemuDevice.IntelIommu, .. bench.Configuration.Devices],
            KernelArguments = "intel_iommu=on iommu.strict=1",
        };
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            await Procedures.VerifyWorksAsync(bench, linux);
            await shell.RunAsync("[ -e $device/iommu_group ] && [ $(cat $device/iommu_group/type) = DMA ]");
            Assert.InRange(bench.Traffic.Count(VfioUserCommand.DmaUnmap), 1, int.MaxValue);

            // The guest's memory is out of the card's reach now.
            Assert.DoesNotContain(bench.Traffic.LiveMaps, map => map.Size > 16 * MegaByte);

            // Out of the translated domain and into it again.
            await linux.UnbindAsync();
            await shell.RunAsync("echo identity > $device/iommu_group/type && [ $(cat $device/iommu_group/type) = identity ]");
            Assert.Contains(bench.Traffic.LiveMaps, map => map.Size > 256 * MegaByte);
            await shell.RunAsync("echo DMA > $device/iommu_group/type");
            Assert.DoesNotContain(bench.Traffic.LiveMaps, map => map.Size > 16 * MegaByte);
            Assert.Contains(bench.Traffic.OddUnmaps, range => range.Last == ulong.MaxValue);
            Assert.Contains(bench.Traffic.OddUnmaps, range => range.First != 0 && ulong.IsPow2(range.Size));
            await linux.BindAsync();
            await Procedures.VerifyWorksAsync(bench, linux);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }
}
