using Penstock.Interop;
using Penstock.Pci.Tests;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.Vfio.Tests;

namespace Penstock.S390.Tests.Iommu;

/// <summary>Containers and iommufds over zPCI tables, used by a device through its DMA port.</summary>
public sealed class ZpciContainerTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;
    private const string Name = "0000:01:00.0";

    [Fact]
    public void Type1_MapDmaUnmap_ThroughTheTables()
    {
        using var rig = new Rig();
        rig.Open(VfioIommuType.Type1V2);
        ProcessMemory memory = ProcessMemory.Allocate(8 * Page, rig.Host.Ledger);
        Assert.Equal(Page, rig.Container.PageSizes);
        Assert.Equal([new IovaRange(Start, 0x1ff_ffff_ffff)], rig.Container.IovaRanges);
        rig.Container.MapDma(Start, 4 * Page, DmaAccess.ReadWrite, memory, Page);
        Assert.Equal(Errno.None, rig.Port.Write(Start + Page, [3]));
        Assert.Equal(3, memory.Span(2 * Page, 1)[0]);
        var domain = Assert.IsType<ZpciDomain>(rig.IommuGroup.Domain);
        Assert.False(DomainRig.IsInvalid(domain.Entry(Start)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => rig.Container.MapDma(0, Page, DmaAccess.Read, memory, 0)));
        Assert.Equal(4 * Page, rig.Container.UnmapDma(Start, 4 * Page));
        Assert.Equal(Errno.EFAULT, rig.Port.Write(Start, [1]));
        Assert.Equal((Start, 4 * Page), Assert.Single(rig.Function.Refreshes));
        memory.Release();
    }

    [Fact]
    public void Type1_HypervisorShortOfMemory_MapFailsAndNothingStays()
    {
        using var rig = new Rig(new FakeHostFunction { RefreshesOnMap = true });
        rig.Open(VfioIommuType.Type1V2);
        rig.Function.OnRefresh = static (_, _) => FakeHostFunction.Error(Specs.Zpci.ZpciStatus.InsufficientResources);
        ProcessMemory memory = ProcessMemory.Allocate(Page, rig.Host.Ledger);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => rig.Container.MapDma(Start, Page, DmaAccess.ReadWrite, memory, 0)));
        Assert.Equal(0ul, rig.Container.UnmapDma(Start, Page));
        memory.Release();
    }

    [Fact]
    public void Type1_FirmwareRefusesTheTables_SetIommuFailsAndBlocked()
    {
        using var rig = new Rig();
        rig.Function.RegisterAnswer = FakeHostFunction.Error(Specs.Zpci.ZpciStatus.InsufficientResources);
        Assert.Equal(Errno.EIO, ErrnoOf(() => rig.Open(VfioIommuType.Type1V2)));
        Assert.Null(rig.IommuGroup.Domain);
        rig.Function.RegisterAnswer = ZpciAnswer.Done;
        rig.Container.SetIommu(VfioIommuType.Type1V2);
        Assert.NotNull(rig.IommuGroup.Domain);
    }

    [Fact]
    public void Type1_CloseWithMapsLeft_EverythingIsGivenBack()
    {
        var rig = new Rig();
        rig.Open(VfioIommuType.Type1V2);
        ProcessMemory memory = ProcessMemory.Allocate(Page, rig.Host.Ledger);
        rig.Container.MapDma(Start, Page, DmaAccess.ReadWrite, memory, 0);
        memory.Release();
        rig.Dispose();
        Assert.Null(rig.Function.Iota);
    }

    [Fact]
    public void Type1_CopiedAndMessageMemory_AreReachedByCopies()
    {
        using var rig = new Rig();
        rig.Open(VfioIommuType.Type1V2);
        var channel = new FakeChannel(Start, (int)(4 * Page));
        var messages = new MessageMemory(channel, Start, 4 * Page);
        rig.Container.MapDma(Start, 4 * Page, DmaAccess.ReadWrite, messages, 0);
        messages.Release();
        using MemoryFile file = MemoryFile.Create("copied", 4 * Page, MemorySeals.None, rig.Host.Ledger);
        CopiedMemory copied = CopiedMemory.Create(rig.Host.Mappings, file.Descriptor, 0, 4 * Page);
        rig.Container.MapDma(Start + (4 * Page), 4 * Page, DmaAccess.ReadWrite, copied, 0);
        copied.Release();

        // Across both, by one transfer.
        byte[] data = new byte[6 * (int)Page];
        Random.Shared.NextBytes(data);
        Assert.Equal(Errno.None, rig.Port.Write(Start + Page, data));
        Assert.Equal(data[..(3 * (int)Page)], channel.Bytes[(int)Page..]);
        byte[] read = new byte[data.Length];
        Assert.Equal(Errno.None, rig.Port.Read(Start + Page, read));
        Assert.Equal(data, read);
        using (DmaScope scope = rig.Port.Enter())
        {
            Assert.False(scope.TryBorrow(Start, Page, DmaAccess.Read, out _));
            Assert.Equal(Errno.None, scope.TryHold(Start + (4 * Page), Page, DmaAccess.Read, out HeldMemory held));
            held.Dispose();
        }

        Assert.Equal(8 * Page, rig.Container.UnmapDma(Start, 8 * Page));
    }

    [Fact]
    public void Hold_OutlivesTheUnmap()
    {
        using var rig = new Rig();
        rig.Open(VfioIommuType.Type1V2);
        ProcessMemory memory = ProcessMemory.Allocate(2 * Page, rig.Host.Ledger);
        rig.Container.MapDma(Start, 2 * Page, DmaAccess.ReadWrite, memory, 0);
        memory.Release();
        HeldMemory held;
        using (DmaScope scope = rig.Port.Enter())
        {
            Assert.Equal(Errno.None, scope.TryHold(Start + Page + 8, 100, DmaAccess.Write, out held));
        }

        Assert.Equal(2 * Page, rig.Container.UnmapDma(Start, 2 * Page));
        Assert.Equal(Errno.None, held.Memory.Write(held.Offset, [8]));
        Assert.Equal((Page + 8, 100ul), (held.Offset, held.Length));
        held.Dispose();
    }

    [Fact]
    public void Type1_UserMovesHisMemory_DeviceFollows()
    {
        using var rig = new Rig();
        rig.Open(VfioIommuType.Type1V2);
        ProcessMemory memory = ProcessMemory.Allocate(8 * Page, rig.Host.Ledger);
        rig.Container.MapDma(Start, 2 * Page, DmaAccess.ReadWrite, memory, 0);
        rig.IommuGroup.Domain!.Replace(Start, memory, 4 * Page);
        Assert.Equal(Errno.None, rig.Port.Write(Start + Page, [5]));
        Assert.Equal((0, 5), (memory.Span(Page, 1)[0], memory.Span(5 * Page, 1)[0]));
        Assert.Equal(2 * Page, rig.Container.UnmapDma(Start, 2 * Page));
        memory.Release();
    }

    [Fact]
    public void Iommufd_IoasWithTables_FilledAndEmptied()
    {
        using var rig = new Rig();
        using IommufdContext context = rig.Host.OpenIommufd(Caller.Current);
        Ioas ioas = context.AllocateIoas();
        ProcessMemory memory = ProcessMemory.Allocate(8 * Page, rig.Host.Ledger);
        ulong before = ioas.Map(memory, 0, 2 * Page, DmaAccess.ReadWrite, Start);
        using (VfioCdevFile file = rig.Host.OpenCdev(Name, Caller.Current))
        {
            file.Bind(context);
            file.Attach(ioas.Id);
            ulong iova = ioas.Map(memory, 4 * Page, 4 * Page, DmaAccess.Read);
            Assert.InRange(iova, Start, 0x1ff_ffff_fffful);
            Assert.Equal(Errno.None, rig.Port.Write(before + Page, [2]));
            Assert.Equal(Errno.EPERM, rig.Port.Write(iova, [2]));
            Assert.Equal(4 * Page, ioas.Unmap(iova, 4 * Page));
            Assert.Equal(Errno.EFAULT, rig.Port.Read(iova, new byte[1]));
            Assert.Equal(2, memory.Span(Page, 1)[0]);
            file.Detach();
            Assert.Null(rig.Function.Iota);
        }

        ioas.Unmap(before, 2 * Page);
        memory.Release();
    }

    /// <summary>A zPCI device behind a zPCI IOMMU, and the usual first steps of a user.</summary>
    private sealed class Rig : IDisposable
    {
        private readonly FakeFunction _hardware = TestDevice.FullFunction();
        private readonly Strand _strand = new("test strand");
        private VfioGroup? _group;

        public Rig(FakeHostFunction? function = null)
        {
            Function = function ?? new FakeHostFunction();
            var iommu = new ZpciIommu(Host, "zpci", new ZpciIommuOptions { ApertureFactor = 0 });
            IommuGroup = iommu.AddFunction(Function);
            Device = new ZpciVfioPciDevice(Name, _hardware, IommuGroup, new ZpciFunction(0x17, 3));
            Host.Register(Device, IommuGroup);
            Port = new DmaPort(IommuGroup, _strand) { BusMasterEnabled = true };
            Container = Host.OpenContainer(Caller.Current);
        }

        public VfioHost Host { get; } = new();

        public FakeHostFunction Function { get; }

        public IommuGroup IommuGroup { get; }

        public ZpciVfioPciDevice Device { get; }

        public VfioContainer Container { get; }

        public DmaPort Port { get; }

        public void Open(VfioIommuType type)
        {
            _group = Host.OpenGroup(IommuGroup.Number, Caller.Current);
            _group.SetContainer(Container);
            Container.SetIommu(type);
        }

        public void Dispose()
        {
            _group?.Dispose();
            Container.Dispose();
            Device.Dispose();
            _strand.Dispose();
            Assert.Equal("nothing", Host.Ledger.ToString());
            Host.Dispose();
        }
    }
}
