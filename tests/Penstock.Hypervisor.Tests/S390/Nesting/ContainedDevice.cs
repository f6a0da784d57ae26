using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A device that does DMA, in a group whose user has put it into a container of his own.</summary>
internal sealed class ContainedDevice : IDisposable
{
    private readonly Strand _strand;

    public ContainedDevice(VfioHost host)
    {
        Group = host.AddIommuUnit("unit").CreateGroup();
        host.Register(new FakeDevice("device"), Group);
        File = host.OpenGroup(Group.Number, NestingRig.User());
        Container = host.OpenContainer(NestingRig.User());
        File.SetContainer(Container);
        Container.SetIommu(VfioIommuType.Type1V2);
        _strand = new Strand("device", host.Ledger);
        Port = new DmaPort(Group, _strand) { BusMasterEnabled = true };
    }

    public IommuGroup Group { get; }

    public VfioGroup File { get; }

    public VfioContainer Container { get; }

    public DmaPort Port { get; }

    public void Dispose()
    {
        _strand.Dispose();
        Container.Dispose();
        File.Dispose();
    }
}
