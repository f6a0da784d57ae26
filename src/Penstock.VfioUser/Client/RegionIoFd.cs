using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>Part of a region for which the server has a descriptor: who writes there can use that instead of a message.</summary>
/// <param name="Offset">First byte in the region.</param>
/// <param name="Size">Length in bytes; 0 when the width of an access does not matter.</param>
/// <param name="Type">What the descriptor is.</param>
/// <param name="Descriptor">The descriptor; null for an entry without. Several entries may have the same.</param>
public readonly record struct RegionIoFd(ulong Offset, ulong Size, VfioUserIoFdType Type, OwnedDescriptor? Descriptor)
{
    /// <summary>For an eventfd the flags of KVM_IOEVENTFD.</summary>
    public uint Flags { get; init; }

    /// <summary>The one value that signals, if the flags say so.</summary>
    public ulong DataMatch { get; init; }

    /// <summary>Memory that takes the value before the eventfd is signalled; null for none.</summary>
    public OwnedDescriptor? Shadow { get; init; }

    /// <summary>Where in that memory.</summary>
    public ulong ShadowOffset { get; init; }
}
