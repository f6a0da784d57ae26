using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>Its state, as a table.</content>
public sealed partial class NvmeFunction
{
    private const int StateVersion = 1;

    /// <inheritdoc/>
    public DeviceStateTable State { get; }

    /// <inheritdoc/>
    public void StateLoaded()
    {
    }

    private static DeviceStateTable DeclareState() => new("nvme", StateVersion);
}
