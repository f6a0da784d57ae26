namespace Penstock.Hypervisor;

/// <summary>Who answers a tapped guest's RPCIT, and how its device finds memory.</summary>
public enum RpcitPath
{
    /// <summary>QEMU: it walks the guest's tables and tells each page with a message.</summary>
    Fallback,

    /// <summary>This process: each RPCIT updates a copy of the guest's tables before the guest goes on.</summary>
    Shadow,

    /// <summary>
    /// The plugin, at once: the device walks the guest's own tables at each access and forgets what RPCIT named
    /// (<see cref="NestingMode.Walked"/>).
    /// </summary>
    Nested,
}
