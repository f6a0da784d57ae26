namespace Penstock.Vfio;

/// <summary>Something that a host tells everybody about a device, as the kernel does with uevents.</summary>
/// <param name="Action">What happened, for example <c>change</c>.</param>
/// <param name="Device">Name of the device.</param>
/// <param name="Key">Name of the variable that the event carries, for example <c>MDEV_STATE</c>.</param>
/// <param name="Value">Its value.</param>
public sealed record HostUevent(string Action, string Device, string Key, string Value);
