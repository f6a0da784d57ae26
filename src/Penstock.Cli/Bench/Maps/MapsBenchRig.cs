using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A type1 container with one open device, and memory to map.</summary>
internal sealed class MapsBenchRig : IDisposable
{
    private const ulong Page = 4096;

    private readonly VfioHost _host = new();
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;
    private readonly ProcessMemory _memory = ProcessMemory.Allocate(VfioDevice.MostPinnedPages * Page);

    public MapsBenchRig()
    {
        Group = _host.AddIommuUnit("bench").CreateGroup();
        _host.Register(Device, Group);
        _container = _host.OpenContainer(BenchUser.Anybody);
        _group = _host.OpenGroup(Group.Number, BenchUser.Anybody);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice(Device.Name);
    }

    public IommuGroup Group { get; }

    public BenchDevice Device { get; } = new();

    public void Map(ulong iova) => _container.MapDma(iova, Page, DmaAccess.ReadWrite, _memory, 0);

    public void MapLarge(ulong size) => _container.MapDma(0, size, DmaAccess.ReadWrite, _memory, 0);

    public void Unmap(ulong iova) => _container.UnmapDma(iova, Page);

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _memory.Release();
        _host.Dispose();
    }
}
