namespace Penstock.Vfio;

/// <summary>How much a device does by itself, which is all that most of the migration states differ in.</summary>
public enum DeviceActivity
{
    /// <summary>Nothing: no DMA, no interrupts. What would start them waits. Configuration space still answers.</summary>
    Stopped,

    /// <summary>It answers accesses and sends interrupts, but starts no DMA.</summary>
    Responding,

    /// <summary>Everything.</summary>
    Running,
}
