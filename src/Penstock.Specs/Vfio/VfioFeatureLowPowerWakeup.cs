using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Data of feature 4 (<c>vfio_device_low_power_entry_with_wakeup</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureLowPowerWakeup
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>An eventfd that is signalled when the device has woken.</summary>
    public int WakeupEvent;

    /// <summary>0.</summary>
    public uint Reserved;
}
