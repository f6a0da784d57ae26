using Penstock.Interop;

namespace Penstock.VfioUser;

/// <summary>Answer to DEVICE_GET_REGION_IO_FDS. It owns the descriptors.</summary>
public sealed class RegionIoFds : IDisposable
{
    private readonly OwnedDescriptor[] _descriptors;

    internal RegionIoFds(IReadOnlyList<RegionIoFd> entries, OwnedDescriptor[] descriptors)
    {
        Entries = entries;
        _descriptors = descriptors;
    }

    /// <summary>The entries, in the server's order.</summary>
    public IReadOnlyList<RegionIoFd> Entries { get; }

    /// <inheritdoc/>
    public void Dispose() => Array.ForEach(_descriptors, static d => d.Dispose());
}
