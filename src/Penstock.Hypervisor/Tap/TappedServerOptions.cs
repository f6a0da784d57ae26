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

    /// <summary>One line for people, for each thing that happens.</summary>
    public Action<string>? Log { get; init; }

    /// <summary>Sees every message of QEMU's.</summary>
    public IMessageObserver? Observer { get; init; }

    /// <summary>Called when QEMU has gone.</summary>
    public Action<SessionEnd>? ClientEnded { get; init; }
}
