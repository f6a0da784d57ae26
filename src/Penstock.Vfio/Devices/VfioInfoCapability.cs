namespace Penstock.Vfio;

/// <summary>A capability in the answer to GET_INFO.</summary>
/// <param name="Id">Which.</param>
/// <param name="Version">Version.</param>
/// <param name="Payload">What comes behind its header.</param>
public readonly record struct VfioInfoCapability(ushort Id, ushort Version, ReadOnlyMemory<byte> Payload);
