namespace Penstock.Hypervisor;

/// <summary>How a guest's own tables become those of its functions, without a map call for each page.</summary>
public enum NestingMode
{
    /// <summary>RPCIT copies what has changed into the host's tables and pins it there: nesting in software.</summary>
    Shadow = 1,

    /// <summary>Each access walks the guest's tables, and RPCIT only drops what was kept of walks: as hardware nests. All of the guest's memory is pinned.</summary>
    Walked = 2,
}
