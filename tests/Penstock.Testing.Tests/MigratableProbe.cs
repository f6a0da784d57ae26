using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Testing.Tests;

internal sealed class MigratableProbe : ProbeFunction, IMigratableFunction
{
    public MigratableProbe() => State = new DeviceStateTable("probe", 1)
        .Number("scratch", sizeof(ulong), () => Registers[0], value => Registers[0] = value);

    public DeviceStateTable State { get; }

    public void StateLoaded()
    {
    }
}
