namespace Penstock.Hypervisor;

/// <summary>What a tap has done so far.</summary>
/// <param name="Asked">RPCITs that this process answered, one round trip each.</param>
/// <param name="ByRing">RPCITs that the plugin answered by itself.</param>
/// <param name="LeftToQemu">RPCITs that were asked about and left to QEMU.</param>
/// <param name="Refused">RPCITs that were refused so that the guest tells QEMU all its pages.</param>
/// <param name="Lent">How often the guest's tables became the device's translation.</param>
/// <param name="TakenBack">How often they ceased to be.</param>
public readonly record struct TapCounters(long Asked, long ByRing, long LeftToQemu, long Refused, long Lent, long TakenBack);
