namespace Penstock.Vfio;

/// <summary>
/// Everything through which users reach a device's memory without a call: one object for all files of the device, so that one call
/// takes it all away. Looking whether a mapping works is free of locks; taking it away waits for those who are looking.
/// </summary>
internal sealed class RegionMappings
{
    private readonly Lock _gate = new();
    private readonly List<VfioRegionMapping> _mappings = [];
    private readonly List<VfioDmaBuf> _buffers = [];
    private volatile bool _revoked;

    internal bool AreRevoked => _revoked;

    internal ScopePlaces Places { get; } = new();

    internal void Add(VfioRegionMapping mapping)
    {
        lock (_gate)
        {
            _mappings.Add(mapping);
        }
    }

    internal void Remove(VfioRegionMapping mapping)
    {
        lock (_gate)
        {
            _mappings.Remove(mapping);
        }
    }

    /// <summary>Nothing is reached any more; when this returns no access is in progress, except the calling thread's own.</summary>
    internal void Revoke()
    {
        if (!_revoked)
        {
            _revoked = true;
            Places.WaitForOthers();
            Array.ForEach(Buffers(), static b => b.Revoke());
        }
    }

    /// <summary>What has not been closed works again, as if it had faulted and found its page.</summary>
    internal void Restore()
    {
        if (_revoked)
        {
            _revoked = false;
            Array.ForEach(Buffers(), static b => b.Restore());
        }
    }

    internal void Add(VfioDmaBuf buffer)
    {
        lock (_gate)
        {
            _buffers.Add(buffer);
        }
    }

    /// <summary>The device is closed by its last user: files of its memory never work again.</summary>
    internal void Orphan()
    {
        VfioDmaBuf[] ended = Buffers();
        lock (_gate)
        {
            _buffers.Clear();
        }

        Array.ForEach(ended, static b => b.Orphan());
    }

    /// <summary>The file is closed, and what was mapped through it is gone for good.</summary>
    internal void Close(VfioDeviceFile file)
    {
        VfioRegionMapping[] ended;
        lock (_gate)
        {
            ended = [.. _mappings.Where(m => m.File == file)];
        }

        Array.ForEach(ended, static m => m.Dispose());
    }

    private VfioDmaBuf[] Buffers()
    {
        lock (_gate)
        {
            return [.. _buffers];
        }
    }
}
