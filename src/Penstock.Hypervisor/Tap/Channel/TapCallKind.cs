namespace Penstock.Hypervisor;

/// <summary>What the plugin tells.</summary>
internal enum TapCallKind : uint
{
    /// <summary>RPCIT of a function that is taken over, or any while a recording is made, before QEMU sees it.</summary>
    RpcitAsked = 1,

    /// <summary>RPCIT that QEMU has done.</summary>
    RpcitDone = 2,

    /// <summary>MPCIFC that QEMU has done.</summary>
    MpcifcDone = 3,

    /// <summary>CLP that QEMU has done.</summary>
    ClpDone = 4,

    /// <summary>PCI store (PCISTG) into a place that is watched, before QEMU does it.</summary>
    Store = 5,

    /// <summary>PCI block store (PCISTB), likewise; what is stored is not told.</summary>
    BlockStore = 6,
}
