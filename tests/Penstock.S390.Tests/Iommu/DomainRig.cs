using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

/// <summary>A host with one function behind a zPCI IOMMU, and a domain that its group is attached to.</summary>
internal sealed class DomainRig : IDisposable
{
    public const ulong Page = 4096;

    /// <summary>An address that is inside of every window here, at the start of a segment.</summary>
    public const ulong Start = 0x1_0000_0000;

    public DomainRig(FakeHostFunction? function = null, ZpciIommuOptions? options = null, ulong memory = 64 * Page)
    {
        Function = function ?? new FakeHostFunction();
        Iommu = new ZpciIommu(Host, "zpci", options ?? new ZpciIommuOptions { ApertureFactor = 0 });
        Group = Iommu.AddFunction(Function);
        Domain = Iommu.CreateDomain();
        Group.Attach(Domain);
        Memory = ProcessMemory.Allocate(memory);
    }

    public VfioHost Host { get; } = new();

    public FakeHostFunction Function { get; }

    public ZpciIommu Iommu { get; }

    public IommuGroup Group { get; }

    public ZpciDomain Domain { get; }

    public ProcessMemory Memory { get; }

    public static bool IsInvalid(ulong entry) => (entry & ZpciIoTable.PageInvalid) != 0;

    public void Map(ulong iova, ulong pages, ulong firstPage = 0, DmaAccess access = DmaAccess.ReadWrite) =>
        Domain.Map(iova, pages * Page, access, Memory, firstPage * Page);

    public Errno TryMap(ulong iova, ulong pages, ulong firstPage = 0, DmaAccess access = DmaAccess.ReadWrite) =>
        ErrnoOf(() => Map(iova, pages, firstPage, access));

    public ulong Unmap(ulong iova, ulong pages) => Domain.Unmap(new IovaRange(iova, iova + (pages * Page) - 1));

    public void Dispose()
    {
        Group.Detach();
        Domain.Dispose();
        Memory.Release();
        Assert.Equal("nothing", Host.Ledger.ToString());
        Host.Dispose();
    }
}
