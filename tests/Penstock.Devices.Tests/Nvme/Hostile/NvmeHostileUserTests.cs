using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Users who do to a disk whatever users can do, with its queues set up and garbage in them.</summary>
public sealed class NvmeHostileUserTests
{
    private const ulong Iova = 0x1000_0000;
    private const ulong Size = 0x1_0000;
    private const int Entries = 16;

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void AnyAccesses_NothingIsThrownOrTouched_AndTheDiskStaysUsable(int seed, bool poll) => HostileUser.Attack(
        () => new NvmeFunction(new MemoryNvmeBacking(1 << 20), new NvmeOptions { IoQueues = 4, Poll = poll }),
        new HostileUserOptions
        {
            Seed = seed,
            Steps = 5_000,
            Prepare = static (bench, random) => Enable(bench, random.Next()),
            Registers =
            [
                NvmeRegisters.Capabilities, NvmeRegisters.Configuration, NvmeRegisters.Status, NvmeRegisters.AdminQueueAttributes,
                NvmeRegisters.AdminSubmissionQueue, NvmeRegisters.AdminCompletionQueue, NvmeRegisters.Doorbells, NvmeRegisters.Doorbells,
                NvmeRegisters.Doorbells + 4, NvmeRegisters.Doorbells + 8, NvmeRegisters.Doorbells + 12,
            ],
            Values = [0x00460001, 0x00460000, 0x00464001, 0x000f_000f, 1, 2, 5, Entries - 1, Entries, Iova, Iova + 0x1000],
            Check = static bench =>
            {
                TestMemory memory = Enable(bench, null);
                memory.Write(0, new byte[NvmeCommand.Length]);
                memory.Bytes[0] = (byte)NvmeAdminOpcode.Identify;
                memory.Write64(24, Iova + 0x3000);
                memory.Write32(40, (uint)NvmeIdentifyCns.Controller);
                bench.Bar(0).Write32(NvmeRegisters.Doorbells, 1);
                bench.WaitUntil(() => memory.Read16(0x1000 + NvmeCompletion.StatusOffset) == NvmeCompletion.Phase, "Identify is not answered");
                Assert.NotEqual(0, memory.Read16(0x3000));
            },
        }).ThrowIfFailed();

    /// <summary>Memory, the admin queues in it, and the rest of it random, commands that are not looked at yet included.</summary>
    private static TestMemory Enable(FunctionTestBench bench, int? garbage)
    {
        TestMemory memory = bench.CreateMemory(Size);
        try
        {
            bench.Map(Iova, memory);
        }
        catch (VfioException)
        {
            // Something is mapped there since before the reset.
        }

        if (garbage is { } seed)
        {
            memory.FillRandom(seed);
            for (int i = 0; i < Entries; i++)
            {
                // Opcodes that there are, and pages that are mapped, get further.
                memory.Bytes[i * NvmeCommand.Length] = (byte)(seed >> (i % 8) & 0x0f);
                memory.Bytes[(i * NvmeCommand.Length) + 1] = 0;
                memory.Write64(((ulong)i * NvmeCommand.Length) + 24, Iova + ((ulong)(i % 8) * 0x1000));
            }
        }

        TestRegion registers = bench.Bar(0);
        registers.Write32(NvmeRegisters.AdminQueueAttributes, (Entries - 1) | ((Entries - 1) << 16));
        registers.Write64(NvmeRegisters.AdminSubmissionQueue, Iova);
        registers.Write64(NvmeRegisters.AdminCompletionQueue, Iova + 0x1000);
        registers.Write32(NvmeRegisters.Configuration, 0x00460001);
        return memory;
    }
}
