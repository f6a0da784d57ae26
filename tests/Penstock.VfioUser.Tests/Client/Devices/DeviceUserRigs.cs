using Penstock.Pci;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>The device is in the user's process.</summary>
public sealed class LocalDeviceUserTests : DeviceUserTests
{
    private protected override DeviceRig Open(IPciFunction function) => DeviceRig.Local(function);
}

/// <summary>The device is in the user's process, bound to an iommufd.</summary>
public sealed class LocalIommufdUserTests : DeviceUserTests
{
    private protected override DeviceRig Open(IPciFunction function) => DeviceRig.Local(function, iommufd: true);
}

/// <summary>The device is served on a socket, its DMA messages come on the socket of their own.</summary>
public sealed class RemoteDeviceUserTests : DeviceUserTests
{
    private protected override DeviceRig Open(IPciFunction function) => DeviceRig.Remote(function);
}

/// <summary>The device is served on a socket, which its DMA messages share with everything else.</summary>
public sealed class RemoteOneSocketUserTests : DeviceUserTests
{
    private protected override DeviceRig Open(IPciFunction function) => DeviceRig.Remote(function, Patient.NoTwin);
}

/// <summary>The device is served on a socket, and writes to it are posted.</summary>
public sealed class RemotePostedUserTests : DeviceUserTests
{
    private protected override DeviceRig Open(IPciFunction function) => DeviceRig.Remote(function, new VfioUserClientOptions { PostedWrites = true });
}

/// <summary>The device is served on a socket, and bound to an iommufd.</summary>
public sealed class RemoteIommufdUserTests : DeviceUserTests
{
    private protected override DeviceRig Open(IPciFunction function) => DeviceRig.Remote(function, iommufd: true);
}
