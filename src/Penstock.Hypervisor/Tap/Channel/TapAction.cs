namespace Penstock.Hypervisor;

/// <summary>Who does an instruction that the plugin has handed over; written into its slot.</summary>
internal enum TapAction : uint
{
    /// <summary>QEMU.</summary>
    GoOn = 0,

    /// <summary>QEMU, and the plugin tells its result.</summary>
    GoOnAndTell = 1,

    /// <summary>It is done: the plugin puts the answer into the guest's registers.</summary>
    Done = 2,
}
