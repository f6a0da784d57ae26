using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A connection, and what its server said of the device: asked once, for it does not change. It owns the descriptors of regions, not the
/// connection.
/// </summary>
internal sealed class RemoteFacts : IDisposable
{
    private readonly RemoteRegion?[] _regions;
    private readonly VfioIrqInfo?[] _irqs;
    private readonly Dictionary<RemoteArea, UserMemory> _memory = [];
    private readonly Lock _gate = new();

    private RemoteFacts(VfioUserClient client, VfioDeviceInfo info)
    {
        Client = client;
        Info = info;
        _regions = new RemoteRegion?[info.RegionCount];
        _irqs = new VfioIrqInfo?[info.IrqCount];
    }

    public VfioUserClient Client { get; }

    public VfioDeviceInfo Info { get; }

    /// <summary>Asks for everything.</summary>
    /// <exception cref="VfioException">The server does not answer, or its answers cannot be.</exception>
    public static RemoteFacts Ask(VfioUserClient client)
    {
        var facts = new RemoteFacts(client, client.GetInfo());
        try
        {
            for (uint i = 0; i < facts._regions.Length; i++)
            {
                facts._regions[i] = AskRegion(client, i);
            }

            for (uint i = 0; i < facts._irqs.Length; i++)
            {
                facts._irqs[i] = AskIrq(client, i);
            }

            return facts;
        }
        catch
        {
            facts.Dispose();
            throw;
        }
    }

    public RemoteRegion? Region(uint index) => index < (uint)_regions.Length ? _regions[index] : null;

    public VfioIrqInfo? Irq(uint index) => index < (uint)_irqs.Length ? _irqs[index] : null;

    /// <summary>
    /// Cuts an access at the region's end, as VFIO does: one that begins outside is EINVAL, and one that reaches beyond configuration space EFAULT.
    /// </summary>
    public Errno Clip(uint region, ulong offset, ref int length)
    {
        ulong size = Region(region)?.Info.Size ?? 0;
        if (region == VfioRegions.Config && (offset > size || (ulong)length > size - offset))
        {
            return Errno.EFAULT;
        }

        length = offset < size ? (int)Math.Min((ulong)length, size - offset) : 0;
        return length == 0 ? Errno.EINVAL : Errno.None;
    }

    /// <summary>The memory behind a part of a region; it stays this object's.</summary>
    public UserMemory Map(string what, uint region, ulong offset, ulong length, MappingCache cache, bool guard, out ulong start)
    {
        RemoteRegion found = Region(region) ?? throw new VfioException(Errno.EINVAL, what, "the device has no such region");
        foreach (RemoteArea area in found.Areas)
        {
            if (offset >= area.Offset && offset - area.Offset < area.Size && length <= area.Size - (offset - area.Offset))
            {
                start = offset - area.Offset;
                return MemoryOf(area, found.Files[area.File], cache, guard);
            }
        }

        throw new VfioException(Errno.EINVAL, what, "the server gave no descriptor for it");
    }

    public void Dispose()
    {
        lock (_gate)
        {
            foreach (UserMemory memory in _memory.Values)
            {
                memory.Release();
            }

            _memory.Clear();
        }

        foreach (RemoteRegion? region in _regions)
        {
            region?.Dispose();
        }
    }

    private static RemoteRegion? AskRegion(VfioUserClient client, uint index)
    {
        try
        {
            RemoteRegion region = client.GetRegion(index);

            // On the wire the legacy VGA index is there without content; a device that has none knows no such region.
            return index == VfioRegions.Vga && region.Info is { Size: 0, Flags: VfioRegionFlags.None } ? null : region;
        }
        catch (VfioException none) when (none.Errno == Errno.EINVAL)
        {
            return null;
        }
    }

    private static VfioIrqInfo? AskIrq(VfioUserClient client, uint index)
    {
        try
        {
            return client.GetIrqInfo(index);
        }
        catch (VfioException none) when (none.Errno == Errno.EINVAL)
        {
            return null;
        }
    }

    private UserMemory MemoryOf(RemoteArea area, OwnedDescriptor file, MappingCache cache, bool guard)
    {
        lock (_gate)
        {
            if (!_memory.TryGetValue(area, out UserMemory? memory))
            {
                var facts = FileFacts.Of(file.Value);
                memory = MemoryTrust.Choose(facts, Client.Connection.Peer.UserId, CurrentProcess.UserId, guard, out _) == MemoryUse.Borrow
                    ? MappedMemory.Create(cache, file.Value, facts, area.FileOffset, area.Size)
                    : CopiedMemory.Create(cache, file.Value, facts, area.FileOffset, area.Size);
                _memory.Add(area, memory);
            }

            return memory;
        }
    }
}
