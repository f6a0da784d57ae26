using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>One device in its own group, and the usual first steps of a user.</summary>
internal sealed class Rig : IDisposable
{
    public static readonly Caller User = new(1000, RawIo: false, LockMemory: false, ulong.MaxValue);

    public Rig(IommuUnitOptions? unit = null, VfioHostOptions? host = null)
    {
        // Who is asked for a device is asked once, however long he takes.
        Host = new VfioHost(host ?? new VfioHostOptions { RequestInterval = TimeSpan.FromHours(1) });
        Unit = Host.AddIommuUnit("iommu0", unit);
        Group = Unit.CreateGroup();
        Device = new FakeDevice("fake0");
        Host.Register(Device, Group);
        Strand = new Strand("test strand", Host.Ledger);
        Port = new DmaPort(Group, Strand) { BusMasterEnabled = true };
    }

    public VfioHost Host { get; }

    public IommuUnit Unit { get; }

    public IommuGroup Group { get; }

    public FakeDevice Device { get; }

    public Strand Strand { get; }

    public DmaPort Port { get; }

    public VfioGroup OpenGroup() => Host.OpenGroup(Group.Number, User);

    public VfioContainer OpenContainer() => Host.OpenContainer(User);

    /// <summary>A container with a backend and the rig's group in it.</summary>
    public (VfioContainer Container, VfioGroup Group) Ready(VfioIommuType type = VfioIommuType.Type1V2)
    {
        VfioContainer container = OpenContainer();
        VfioGroup group = OpenGroup();
        group.SetContainer(container);
        container.SetIommu(type);
        return (container, group);
    }

    public ProcessMemory Memory(ulong length) => ProcessMemory.Allocate(length, Host.Ledger);

    /// <summary>A second group with a device, in the same or another unit.</summary>
    public (IommuGroup Group, FakeDevice Device) Second(IommuUnitOptions? otherUnit = null, IReadOnlyList<IovaRange>? reserved = null)
    {
        IommuUnit unit = otherUnit is null ? Unit : Host.AddIommuUnit("iommu1", otherUnit);
        IommuGroup group = unit.CreateGroup(reserved);
        var device = new FakeDevice("fake1");
        Host.Register(device, group);
        return (group, device);
    }

    public void Dispose()
    {
        Strand.Dispose();
        Host.Dispose();
    }
}
