namespace Penstock.Hypervisor;

/// <summary>A message signalled interrupt.</summary>
/// <param name="Address">Where the device writes.</param>
/// <param name="Data">What it writes.</param>
/// <param name="DeviceId">Who writes, where a platform looks at that.</param>
public readonly record struct InterruptMessage(ulong Address, uint Data, uint DeviceId = 0);
