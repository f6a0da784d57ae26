namespace Penstock.Hypervisor;

/// <summary>The address spaces in which a guest writes to devices.</summary>
public enum IoSpace
{
    /// <summary>Memory.</summary>
    Memory,

    /// <summary>Ports.</summary>
    Port,

    /// <summary>Notifications of virtio-ccw devices.</summary>
    VirtioCcw,
}
