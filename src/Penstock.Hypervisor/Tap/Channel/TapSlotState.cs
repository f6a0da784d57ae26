namespace Penstock.Hypervisor;

/// <summary>What is done with a processor's slot: the plugin asks and takes the answer, this side takes the call and answers.</summary>
internal enum TapSlotState : uint
{
    Idle = 0,
    Asked = 1,
    Taken = 2,
    Answered = 3,

    /// <summary>The plugin has waited too long and left the instruction to QEMU.</summary>
    Abandoned = 4,
}
