using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A group attached to a domain with so many mappings of the same memory, and a port of it.</summary>
internal sealed class DmaBenchRig : IDisposable
{
    private readonly VfioHost _host = new();
    private readonly IommuGroup _group;
    private readonly TranslatingDomain _domain;

    public DmaBenchRig(int maps, int stride, int size)
    {
        _group = _host.AddIommuUnit("bench").CreateGroup();
        _domain = _group.Unit.CreateDomain();
        _group.Attach(_domain);
        Memory = ProcessMemory.Allocate((ulong)size);
        Memory.Span(0, size).Fill(1);
        for (int i = 0; i < maps; i++)
        {
            _domain.Map((ulong)i * (ulong)stride, (ulong)size, DmaAccess.ReadWrite, Memory, 0);
        }

        Port = new DmaPort(_group, new Strand("bench")) { BusMasterEnabled = true };
    }

    public ProcessMemory Memory { get; }

    public DmaPort Port { get; }

    public void Dispose()
    {
        _group.Detach();
        _domain.Dispose();
        Memory.Release();
        Port.Strand.Dispose();
        _host.Dispose();
    }
}
