using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>
/// Configuration space is emulated so that drivers meet what they expect, not so that memory is safe: without any of it, and with a
/// function that goes wherever it likes, DMA still ends where the mappings of its own container end.
/// </summary>
public sealed class EmulationIsNotIsolationTests
{
    private const int Page = 4096;
    private const int MemoryPages = 32;
    private const byte Untouched = 0xa5;

    [Fact]
    [Trait("Row", "S1-10")]
    public void Dma_ConfigSpaceNotEmulatedAndAnyAddress_StaysInsideTheMappings()
    {
        using var host = new VfioHost();
        IommuUnit unit = host.AddIommuUnit("unit");
        IommuGroup group = unit.CreateGroup();
        IommuGroup neighbour = unit.CreateGroup();
        FakeFunction function = TestDevice.FullFunction();
        using var raw = new RawConfigDevice("0000:01:00.0", function, group);
        using var other = new VfioPciCoreDevice("0000:02:00.0", TestDevice.FullFunction(), neighbour);
        host.Register(raw, group);
        host.Register(other, neighbour);
        ProcessMemory memory = Filled(host);
        ProcessMemory foreign = Filled(host);
        using VfioContainer container = host.OpenContainer(Caller.Current);
        using VfioContainer neighbours = host.OpenContainer(Caller.Current);
        using VfioGroup user = Into(host, group, container);
        using VfioGroup somebody = Into(host, neighbour, neighbours);
        using VfioDeviceFile file = user.OpenDevice(raw.Name);

        // Every second page of the memory is mapped, the odd ones of these for reading only.
        for (int page = 0; page < MemoryPages; page += 2)
        {
            DmaAccess access = page % 4 == 0 ? DmaAccess.ReadWrite : DmaAccess.Read;
            container.MapDma((ulong)page * Page, Page, access, memory, (ulong)page * Page);
        }

        neighbours.MapDma(0, MemoryPages * Page, DmaAccess.ReadWrite, foreign, 0);
        var random = new Random(10);
        byte[] garbage = new byte[2 * Page];
        int refused = 0;
        int done = 0;
        for (int i = 0; i < 20_000; i++)
        {
            random.NextBytes(garbage);
            int offset = random.Next(PciConfigOffsets.ConventionalSize - 8);
            Assert.Equal(Errno.None, file.Write(VfioRegions.Config, (ulong)offset, garbage.AsSpan(0, 1 + random.Next(8)), out _));
            ulong iova = (ulong)random.Next(2 * MemoryPages * Page);
            Errno errno = function.Port.Dma.Write(iova, garbage.AsSpan(0, 1 + random.Next(Page)));
            refused += errno == Errno.None ? 0 : 1;
            done += errno == Errno.None ? 1 : 0;
        }

        Assert.NotEqual(0, refused);
        Assert.NotEqual(0, done);
        for (int page = 0; page < MemoryPages; page++)
        {
            Assert.Equal(page % 4 != 0, IsUntouched(memory, page));
            Assert.True(IsUntouched(foreign, page));
        }

        Assert.Equal(Errno.EFAULT, function.Port.Dma.Read(Page, garbage));
        container.UnmapDma(0, 0, all: true);
        Assert.Equal(Errno.EFAULT, function.Port.Dma.Write(0, garbage.AsSpan(0, 1)));
        memory.Release();
        foreign.Release();
    }

    private static ProcessMemory Filled(VfioHost host)
    {
        ProcessMemory memory = ProcessMemory.Allocate(MemoryPages * Page, host.Ledger);
        byte[] fill = new byte[MemoryPages * Page];
        fill.AsSpan().Fill(Untouched);
        memory.Write(0, fill);
        return memory;
    }

    private static bool IsUntouched(ProcessMemory memory, int page)
    {
        byte[] bytes = new byte[Page];
        memory.Read((ulong)page * Page, bytes);
        return !bytes.AsSpan().ContainsAnyExcept(Untouched);
    }

    private static VfioGroup Into(VfioHost host, IommuGroup group, VfioContainer container)
    {
        VfioGroup file = host.OpenGroup(group.Number, Caller.Current);
        file.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        return file;
    }

    /// <summary>Configuration space as plain bytes that the user owns; the function may always master the bus.</summary>
    private sealed class RawConfigDevice(string name, FakeFunction function, IommuGroup group) : VfioPciCoreDevice(name, function, group)
    {
        private readonly byte[] _raw = new byte[PciConfigOffsets.ConventionalSize];

        protected override void Open()
        {
            base.Open();
            byte[] everything = BitConverter.GetBytes((ushort)(PciCommand.Memory | PciCommand.BusMaster));
            Assert.Equal(Errno.None, base.Write(VfioRegions.Config, PciConfigOffsets.Command, everything, out _));
        }

        protected override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
        {
            if (region != VfioRegions.Config)
            {
                return base.Write(region, offset, data, out transferred);
            }

            data.CopyTo(_raw.AsSpan((int)offset));
            transferred = data.Length;
            return Errno.None;
        }
    }
}
