using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>What a server says of a region, with the descriptors of what can be mapped of it. It owns them.</summary>
internal sealed class RemoteRegion : IDisposable
{
    public required VfioRegionInfo Info { get; init; }

    /// <summary>The areas that can be mapped; they lie in the region.</summary>
    public IReadOnlyList<RemoteArea> Areas { get; init; } = [];

    public OwnedDescriptor[] Files { get; init; } = [];

    public void Dispose() => Array.ForEach(Files, static f => f.Dispose());
}
