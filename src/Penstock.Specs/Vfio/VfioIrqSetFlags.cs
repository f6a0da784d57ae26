namespace Penstock.Specs.Vfio;

/// <summary><c>VFIO_IRQ_SET_*</c> of linux/vfio.h: one data type and one action.</summary>
[Flags]
public enum VfioIrqSetFlags : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>No data: the action is for all named vectors.</summary>
    DataNone = 1,

    /// <summary>One byte per vector: act when not zero.</summary>
    DataBool = 2,

    /// <summary>One eventfd per vector, or absent.</summary>
    DataEventfd = 4,

    /// <summary>Mask.</summary>
    ActionMask = 8,

    /// <summary>Unmask.</summary>
    ActionUnmask = 16,

    /// <summary>Trigger, or bind a trigger.</summary>
    ActionTrigger = 32,

    /// <summary>All data bits.</summary>
    DataMask = DataNone | DataBool | DataEventfd,

    /// <summary>All action bits.</summary>
    ActionsMask = ActionMask | ActionUnmask | ActionTrigger,
}
