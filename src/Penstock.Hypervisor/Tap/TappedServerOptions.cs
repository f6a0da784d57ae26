using Penstock.VfioUser;

namespace Penstock.Hypervisor;

/// <summary>How a device is served to a tapped guest.</summary>
public sealed class TappedServerOptions
{
    /// <summary>The device's function identifier (FID) on QEMU's command line.</summary>
    public required uint FunctionId { get; init; }

    /// <summary>The guest's memory in bytes.</summary>
    public required ulong RamSize { get; init; }

    /// <summary>Who answers the guest's RPCIT at first.</summary>
    public RpcitPath Path { get; init; }

    /// <summary>Where the guest's calls are written down; null for nowhere. RPCITs are told one by one then.</summary>
    public TextWriter? Recording { get; init; }

    /// <summary>How QEMU is served; the tap's own lines go to the same log.</summary>
    public VfioUserServerOptions Server { get; init; } = new();
}
