using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>An event that waits for a guest, as the store-event-information call hands it out.</summary>
/// <param name="Content">What the block is.</param>
/// <param name="Block">The block, 32 bytes, big-endian.</param>
public readonly record struct ZpciGuestEvent(ZpciEventContent Content, ReadOnlyMemory<byte> Block);
