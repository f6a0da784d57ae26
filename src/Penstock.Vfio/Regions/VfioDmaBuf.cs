namespace Penstock.Vfio;

/// <summary>
/// A file for part of a device's region, which an I/O address space can map (IOAS_MAP_FILE) so that other devices reach it. While the device
/// takes its memory away, as for mappings of users, the file is revoked: I/O mappings of it are empty, new ones fail, and all come back
/// with the memory. With the last close of the device it is revoked for good. Members may be called from any thread.
/// </summary>
public sealed class VfioDmaBuf : IDisposable
{
    private readonly VfioDevice _device;
    private readonly List<IommufdPages> _importers = [];
    private readonly RegionMemory[] _parts;
    private int _closed;

    internal VfioDmaBuf(VfioDevice device, RegionMemory[] parts)
    {
        _device = device;
        _parts = parts;
        Size = parts.Aggregate(0ul, static (sum, p) => sum + p.Length);
    }

    /// <summary>Size in bytes, all ranges together.</summary>
    public ulong Size { get; }

    /// <summary>Number of ranges; only a file of one range can be mapped.</summary>
    public int RangeCount => _parts.Length;

    /// <summary>Whether its memory is taken away now.</summary>
    public bool IsRevoked => IsOrphaned || _device.Mappings.AreRevoked;

    /// <summary>The device has been closed since, so the memory does not come back.</summary>
    internal bool IsOrphaned { get; private set; }

    /// <summary>Memory of the first range; valid while the file is open or something maps it.</summary>
    internal RegionMemory Memory => _parts[0];

    /// <summary>Closes the file. What maps it keeps the memory.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0)
        {
            Array.ForEach(_parts, static p => p.Release());
        }
    }

    internal void Orphan()
    {
        IsOrphaned = true;
        Revoke();
    }

    internal void Add(IommufdPages importer)
    {
        lock (_importers)
        {
            _importers.Add(importer);
        }
    }

    internal void Remove(IommufdPages importer)
    {
        lock (_importers)
        {
            _importers.Remove(importer);
        }
    }

    internal void Revoke() => Array.ForEach(Importers(), static p => p.Hide());

    internal void Restore()
    {
        if (!IsOrphaned)
        {
            Array.ForEach(Importers(), static p => p.Show());
        }
    }

    private IommufdPages[] Importers()
    {
        lock (_importers)
        {
            return [.. _importers];
        }
    }
}
