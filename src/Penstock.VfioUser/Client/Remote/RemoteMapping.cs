using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>A mapping of a domain whose device is served elsewhere. The domain holds the memory as long as the mapping is there.</summary>
internal sealed record RemoteMapping(ulong Iova, ulong Size, DmaAccess Access, UserMemory? Memory, ulong MemoryOffset) : IComparable<RemoteMapping>
{
    public int CompareTo(RemoteMapping? other) => other is null ? 1 : Iova.CompareTo(other.Iova);

    /// <summary>A value to search with.</summary>
    public static RemoteMapping At(ulong iova) => new(iova, 1, DmaAccess.None, null, 0);
}
