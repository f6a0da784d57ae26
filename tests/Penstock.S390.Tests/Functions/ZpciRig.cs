using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.Vfio.Tests;

namespace Penstock.S390.Tests.Functions;

/// <summary>A zPCI device in a container.</summary>
internal sealed class ZpciRig : IDisposable
{
    public const string Name = "0000:01:00.0";

    public ZpciRig(bool isZpci = true, bool registers = true)
    {
        IommuGroup group = Host.AddIommuUnit("unit").CreateGroup();
        Zpci = isZpci ? new ZpciFunction(0x17, 3) : null;
        Device = new ZpciVfioPciDevice(Name, Function, group, Zpci, registers);
        Host.Register(Device, group);
        Container = Host.OpenContainer(Caller.Current);
        Group = Host.OpenGroup(group.Number, Caller.Current);
        Group.SetContainer(Container);
        Container.SetIommu(VfioIommuType.Type1V2);
    }

    public VfioHost Host { get; } = new();

    public FakeFunction Function { get; } = TestDevice.FullFunction();

    public ZpciFunction? Zpci { get; }

    public ZpciVfioPciDevice Device { get; }

    public VfioContainer Container { get; }

    public VfioGroup Group { get; }

    public FakeMachine Machine { get; } = new();

    public VfioDeviceFile Open() => Group.OpenDevice(Name);

    public void Dispose()
    {
        Group.Dispose();
        Container.Dispose();
        Device.Dispose();
        Host.Dispose();
        Assert.Equal(1, Machine.References);
        Assert.Equal("nothing", Host.Ledger.ToString());
    }
}
