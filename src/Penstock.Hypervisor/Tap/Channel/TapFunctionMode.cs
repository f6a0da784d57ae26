namespace Penstock.Hypervisor;

/// <summary>What the plugin does with a function's RPCIT.</summary>
internal enum TapFunctionMode : uint
{
    /// <summary>It goes on to QEMU.</summary>
    Through = 0,

    /// <summary>This side says.</summary>
    Ask = 1,

    /// <summary>It is answered at once and written into the ring.</summary>
    Ring = 2,
}
