using System.Runtime.InteropServices;
using Penstock.Specs.Vfio;

namespace Penstock.VfioUser;

/// <summary>The capabilities behind the reply to DEVICE_GET_REGION_INFO, in the order in which they are added.</summary>
/// <param name="start">Where the first one is, from the start of the payload.</param>
internal sealed class RegionCapabilities(int start)
{
    private const int Alignment = 8;

    private readonly List<byte> _bytes = [];
    private int _last = -1;

    public void Add<T>(ushort id, params ReadOnlySpan<T> payload)
        where T : unmanaged
    {
        if (_last >= 0)
        {
            uint next = (uint)(start + _bytes.Count);
            MemoryMarshal.Write(CollectionsMarshal.AsSpan(_bytes)[(_last + VfioInfoCapHeader.NextOffset)..], next);
        }

        _last = _bytes.Count;
        VfioInfoCapHeader header = new() { Id = id, Version = VfioRegionCapability.Version };
        _bytes.AddRange(MemoryMarshal.AsBytes(new ReadOnlySpan<VfioInfoCapHeader>(in header)));
        _bytes.AddRange(MemoryMarshal.AsBytes(payload));
        while (_bytes.Count % Alignment != 0)
        {
            _bytes.Add(0);
        }
    }

    public byte[] ToArray() => [.. _bytes];
}
