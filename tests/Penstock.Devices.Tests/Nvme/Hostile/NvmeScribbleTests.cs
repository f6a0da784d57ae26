using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;

namespace Penstock.Devices.Tests;

/// <summary>
/// A host that writes anything anywhere: registers, doorbells, queue entries, shadow doorbells. Nothing is thrown, nothing hangs, and after a
/// reset the controller works.
/// </summary>
public sealed class NvmeScribbleTests
{
    private const int Steps = 20_000;

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, true)]
    public void Anything_WrittenAnywhere_LeavesAControllerThatCanBeReset(int seed, bool slow)
    {
        using var rig = new NvmeRig(backing: slow ? new NvmeGatedBacking(1 << 20) : new MemoryNvmeBacking(1 << 20));
        var random = new Random(seed);
        ulong pages = rig.Pages(64);
        for (int step = 0; step < Steps; step++)
        {
            // Queue memory and PRP lists are the same pages, and full of addresses of them.
            Scribble(rig, random, pages);
            switch (random.Next(12))
            {
                case 0:
                    rig.Write32(NvmeRegisters.Configuration, random.Next(3) == 0 ? (uint)random.Next() : 0x00460000u | (uint)random.Next(2));
                    break;
                case 1:
                    rig.Write32(NvmeRegisters.AdminQueueAttributes, 0x001f001f);
                    rig.Write64(NvmeRegisters.AdminSubmissionQueue, Page(random, pages));
                    rig.Write64(NvmeRegisters.AdminCompletionQueue, Page(random, pages));
                    rig.Write32(NvmeRegisters.Configuration, 0x00460001);
                    break;
                case 2:
                    rig.Write32((ulong)random.Next(0x4000 / 4) * 4, (uint)random.Next());
                    break;
                case 3:
                    rig.Read64((ulong)random.Next(0x4000 / 8) * 8);
                    break;
                case 4 when random.Next(50) == 0:
                    rig.File.Reset();
                    rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
                    break;
                default:
                    rig.Write32(NvmeRegisters.Doorbells + (ulong)(random.Next(8) * 4), (uint)random.Next(40));
                    break;
            }

            Assert.NotEqual(uint.MaxValue, rig.Read32(NvmeRegisters.Status));
        }

        rig.File.Reset();
        rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        rig.Enable();
        rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, rig.Pages()));
    }

    private static ulong Page(Random random, ulong pages) =>
        random.Next(30) == 0 ? (ulong)random.NextInt64() : pages + (ulong)(random.Next(64) * NvmeRig.Page);

    private static void Scribble(NvmeRig rig, Random random, ulong pages)
    {
        ulong at = pages + (ulong)(random.Next(64 * NvmeRig.Page / NvmeCommand.Length) * NvmeCommand.Length);
        if (random.Next(4) == 0)
        {
            random.NextBytes(rig.At(at, NvmeCommand.Length));
            return;
        }

        bool isAdmin = random.Next(2) == 0;
        ReadOnlySpan<byte> opcodes = isAdmin ? [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 24, 0x7c] : [0, 1, 2, 5, 8, 9];
        uint id = (uint)random.Next(5);
        rig.Ref<NvmeCommand>(at) = new NvmeCommand
        {
            Opcode = opcodes[random.Next(opcodes.Length)],
            CommandId = (ushort)random.Next(100),
            NamespaceId = random.Next(5) == 0 ? (uint)random.Next() : 1,
            Prp1 = Page(random, pages) + (random.Next(3) == 0 ? (uint)random.Next(NvmeRig.Page) : 0),
            Prp2 = Page(random, pages),
            Cdw10 = isAdmin ? id | ((uint)random.Next(64) << 16) : (uint)random.Next(3000),
            Cdw11 = isAdmin ? 3 | (id << 16) : 0,
            Cdw12 = (uint)random.Next(300),
        };
    }
}
