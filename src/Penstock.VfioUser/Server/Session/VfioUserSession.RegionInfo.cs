using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_GET_REGION_INFO, with the descriptors of memory that the client may map.</content>
internal sealed unsafe partial class VfioUserSession
{
    // The kernel lets no more wait for readers than one process may have open; no honest client asks this often.
    private const int MostGiven = 4096;

    private readonly int[] _given = new int[VfioUserLimits.MaximumDescriptors];
    private int _givenCount;
    private int _givenAltogether;

    // Of each region that was asked for; empty when nothing of it can be mapped.
    private readonly Dictionary<uint, SharedRegion> _shared = [];

    private Errno DeviceGetRegionInfo(ReadOnlySpan<byte> body, out int length)
    {
        length = VfioUserRegionInfo.Length;
        if (!TryRead(body, out VfioUserRegionInfo info) || info.ArgumentSize < length)
        {
            return Errno.EINVAL;
        }

        VfioRegionInfo region = GetRegion(info.Index);
        SharedRegion shared = Share(region);
        bool isMappable = shared.Areas.Count != 0;
        uint room = info.ArgumentSize;
        byte[] capabilities = Capabilities(region, shared);
        info.ArgumentSize = (uint)(length + capabilities.Length);
        info.Flags = (uint)(region.Flags & (VfioRegionFlags.Read | VfioRegionFlags.Write) | (isMappable ? VfioRegionFlags.Mmap : 0));
        info.CapabilityOffset = 0;
        info.Size = region.Size;
        info.FileOffset = shared.HasOneFile ? shared.FileOffset : 0;
        if (capabilities.Length != 0 && room >= info.ArgumentSize)
        {
            info.Flags |= (uint)VfioRegionFlags.Caps;
            info.CapabilityOffset = (uint)length;
            capabilities.CopyTo(Payload(length + capabilities.Length)[length..]);
            foreach (OwnedDescriptor file in shared.Files)
            {
                Give(file.Value);
            }

            length += capabilities.Length;
        }

        MemoryMarshal.Write(Payload(length), info);
        return Errno.None;
    }

    /// <summary>Lets a descriptor go with the reply that is being built. It stays ours, and open as long as the session.</summary>
    /// <returns>Which descriptor of the message it is.</returns>
    private uint Give(int descriptor)
    {
        int known = _given.AsSpan(0, _givenCount).IndexOf(descriptor);
        if (known >= 0)
        {
            return (uint)known;
        }

        if (++_givenAltogether > MostGiven)
        {
            throw new VfioException(Errno.EMFILE, "giving out a descriptor", $"this client has had {MostGiven}; connect again");
        }

        _given[_givenCount] = descriptor;
        return (uint)_givenCount++;
    }

    private SharedRegion Share(in VfioRegionInfo region)
    {
        if (!_shared.TryGetValue((uint)region.Index, out SharedRegion? shared))
        {
            shared = SharedRegion.Open(
                _file!, region, Math.Min(_limits.MaximumDescriptors, VfioUserLimits.MaximumDescriptors), _limits.SparseMmapDescriptors);
            _shared.Add((uint)region.Index, shared);
        }

        return shared;
    }

    /// <summary>After the device is closed: until then the client may write what it has mapped.</summary>
    private void WithdrawRegions()
    {
        foreach (SharedRegion shared in _shared.Values)
        {
            try
            {
                shared.Withdraw();
            }
            catch (SystemCallException failed)
            {
                Log($"memory of {_endpoint.DeviceName} lost content when its client went: {failed.Message}");
            }
        }

        _shared.Clear();
    }

    private static byte[] Capabilities(in VfioRegionInfo region, SharedRegion shared)
    {
        var chain = new RegionCapabilities(VfioUserRegionInfo.Length);
        if (region.Type is { } type)
        {
            chain.Add(VfioRegionCapability.Type, type.Type, type.Subtype);
        }

        if (shared.Areas.Count != 0)
        {
            VfioUserRegionFileArea[] areas = [.. shared.Areas];
            if (shared.HasOneFile)
            {
                chain.Add(VfioRegionCapability.SparseMmap, [(ulong)areas.Length, .. areas.SelectMany(static a => (ulong[])[a.Offset, a.Size])]);
            }
            else
            {
                ReadOnlySpan<ulong> words = [(ulong)areas.Length, .. MemoryMarshal.Cast<VfioUserRegionFileArea, ulong>(areas)];
                chain.Add(VfioUserRegionCapability.SparseMmapFds, words);
                chain.Add(VfioUserRegionCapability.SparseMmapFdsPrivate, words);
            }

            if (region.IsMsixMappable)
            {
                chain.Add<byte>(VfioRegionCapability.MsixMappable);
            }
        }

        return chain.ToArray();
    }
}
