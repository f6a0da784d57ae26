using Penstock.Hypervisor;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>An unmodified s390x Linux whose disk sets the bits of its interrupts itself; QEMU is told when the guest would not look by itself.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class TapInterruptTests(GuestLab lab)
{
    private const int Mebibytes = 16;
    private const int Tries = 60;

    [Theory]
    [InlineData(RpcitPath.Fallback)]
    [InlineData(RpcitPath.Nested)]
    [Trait("Row", "S0-8")]
    public async Task DirectInterrupts_UnderLoad_FewerProdsAndNoneLost(RpcitPath path)
    {
        using var bench = new TapBench(path);
        GuestConfiguration configuration = await bench.ConfigureAsync();
        configuration = configuration with
        {
            Files = [GuestPrograms.DirectReads()],
            KernelArguments = "iommu.strict=1",
            ExtraArguments = [.. configuration.ExtraArguments, "-smp", "3"],
        };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.FillAsync(Mebibytes);
            TapSession tap = bench.Served.Tap;
            Assert.True(tap.IndicatesInterrupts);

            // A guest that lost one would wait 30 s for its disk, then complain.
            for (int i = 0; i < Tries && (i == 0 || tap.InterruptCounters.ProdsSaved == 0); i++)
            {
                await shell.RunAsync("for n in 1 2 3 4 5 6; do direct-reads $disk 500 4 interrupts & done; wait");
            }

            TapInterruptCounters counters = tap.InterruptCounters;
            Assert.InRange(counters.Prods, 1, counters.Indicated - 1);
            (_, long interrupts) = await disk.CountAsync();
            Assert.InRange(interrupts, 1, long.MaxValue);
            DeviceBench.Settle(true, () => interrupts <= tap.InterruptCounters.Indicated);

            // Registered anew, with other indicators.
            await disk.RebindAsync();
            await disk.VerifyAsync();
            await disk.ResetWhileBusyAsync(times: 2);
            Assert.True(tap.IndicatesInterrupts);
            Assert.InRange(tap.InterruptCounters.Indicated, counters.Indicated + 1, long.MaxValue);
            await disk.VerifyNoErrorsAsync();
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        Assert.False(bench.Served.Tap.IndicatesInterrupts);
    }

    /// <summary>With one processor QEMU compiles the guest's atomic instructions to plain ones: a bit that another process sets could be lost.</summary>
    [Theory]
    [InlineData]
    [InlineData("-smp", "2", "-icount", "shift=auto")]
    public async Task OneProcessor_OrOneThreadForAll_InterruptsAreQemus(params string[] arguments)
    {
        using var bench = new TapBench(RpcitPath.Nested);
        GuestConfiguration configuration = await bench.ConfigureAsync();
        configuration = configuration with { ExtraArguments = [.. configuration.ExtraArguments, .. arguments] };
        await using (GuestShell shell = await GuestShell.StartAsync(await lab.OfAsync(GuestArchitecture.S390x), configuration))
        {
            LinuxDisk disk = await LinuxDisk.FindAsync(shell, DiskBench.Serial);
            await disk.ReadManyAtOnceAsync(mebibytes: 1);
            await disk.VerifyNoErrorsAsync();
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        Assert.Equal(default, bench.Served.Tap.InterruptCounters);
    }
}
