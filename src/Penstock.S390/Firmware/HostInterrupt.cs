namespace Penstock.S390;

/// <summary>What an adapter interruption tells the host.</summary>
/// <param name="Subclass">Its interruption subclass.</param>
/// <param name="IsForwarded">An event for a guest that firmware could not deliver: the host's summary bits say whose.</param>
/// <param name="IsError">As <paramref name="IsForwarded"/>, since something is wrong with the guest's structures.</param>
/// <param name="Suppressed">Subclasses whose interruptions were held back meanwhile, as a mask (AISM).</param>
public readonly record struct HostInterrupt(int Subclass, bool IsForwarded = false, bool IsError = false, byte Suppressed = 0);
