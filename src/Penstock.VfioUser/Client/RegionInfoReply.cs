using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>Takes a reply to DEVICE_GET_REGION_INFO apart (vfio-user, "VFIO_USER_DEVICE_GET_REGION_INFO"). Nothing in it is believed.</summary>
internal ref struct RegionInfoReply
{
    private const VfioRegionFlags Known = VfioRegionFlags.Read | VfioRegionFlags.Write | VfioRegionFlags.Mmap;

    /// <summary>Number of entries and padding, before the areas of either kind.</summary>
    private const int AreasHead = 8;

    private readonly ReadOnlySpan<byte> _reply;
    private readonly OwnedDescriptor[] _files;
    private readonly VfioUserRegionInfo _info;
    private List<RemoteArea>? _areas;
    private bool _isMsixMappable;
    private VfioRegionType? _type;

    private RegionInfoReply(ReadOnlySpan<byte> reply, OwnedDescriptor[] files)
    {
        _reply = reply;
        _files = files;
        _info = MemoryMarshal.Read<VfioUserRegionInfo>(reply);
    }

    /// <summary>Reads a whole reply.</summary>
    /// <param name="index">The region that was asked for.</param>
    /// <param name="reply">Structure and capabilities, at least the structure.</param>
    /// <param name="files">The descriptors that came; the result owns them, after an exception the caller does.</param>
    /// <returns>The region.</returns>
    /// <exception cref="VfioException">EPROTO: it cannot be so.</exception>
    public static RemoteRegion Read(uint index, ReadOnlySpan<byte> reply, OwnedDescriptor[] files)
    {
        var reader = new RegionInfoReply(reply, files);
        return reader.Read(index);
    }

    private static VfioException Unsound(string why) => new(Errno.EPROTO, nameof(VfioUserCommand.DeviceGetRegionInfo), why);

    private RemoteRegion Read(uint index)
    {
        if (_info.Index != index)
        {
            throw Unsound($"the reply is about region {_info.Index}, {index} was asked for");
        }

        var flags = (VfioRegionFlags)_info.Flags;
        if ((flags & VfioRegionFlags.Caps) != 0 && _info.CapabilityOffset != 0)
        {
            ReadCapabilities();
        }

        List<RemoteArea> areas = [];
        if ((flags & VfioRegionFlags.Mmap) != 0 && _files.Length != 0)
        {
            areas = _areas ?? [CheckArea(0, _info.Size, _info.FileOffset, 0)];
        }

        flags &= Known;
        if (areas.Count == 0)
        {
            // Without a descriptor there is nothing to map, whatever the flags say.
            flags &= ~VfioRegionFlags.Mmap;
        }

        bool whole = areas.Count == 1 && areas[0].Offset == 0 && areas[0].Size >= _info.Size;
        return new RemoteRegion
        {
            Info = new VfioRegionInfo((int)index, flags, _info.Size)
            {
                MappableAreas = areas.Count == 0 || whole ? null : areas.ConvertAll(static a => new VfioRegionArea(a.Offset, a.Size)),
                IsMsixMappable = _isMsixMappable,
                Type = _type,
            },
            Areas = areas,
            Files = _files,
        };
    }

    private void ReadCapabilities()
    {
        // Each one behind the one before: so a chain cannot turn back, and ends.
        uint at = _info.CapabilityOffset;
        uint least = VfioUserRegionInfo.Length;
        while (at != 0)
        {
            if (at < least || at > (uint)_reply.Length || (uint)_reply.Length - at < VfioInfoCapHeader.Length)
            {
                throw Unsound($"a capability at offset {at} of a reply of {_reply.Length} bytes");
            }

            VfioInfoCapHeader header = MemoryMarshal.Read<VfioInfoCapHeader>(_reply[(int)at..]);
            ReadCapability(header, _reply[((int)at + VfioInfoCapHeader.Length)..]);
            least = at + VfioInfoCapHeader.Length;
            at = header.Next;
        }
    }

    private void ReadCapability(in VfioInfoCapHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Id)
        {
            case VfioRegionCapability.SparseMmap when _areas is null:
                _areas = [];
                for (ReadOnlySpan<byte> left = Entries(payload, 2 * sizeof(ulong)); !left.IsEmpty; left = left[(2 * sizeof(ulong))..])
                {
                    ulong offset = MemoryMarshal.Read<ulong>(left);
                    Add(offset, MemoryMarshal.Read<ulong>(left[sizeof(ulong)..]), _info.FileOffset + offset, 0);
                }

                break;
            case VfioUserRegionCapability.SparseMmapFds or VfioUserRegionCapability.SparseMmapFdsPrivate:
                _areas = [];
                for (ReadOnlySpan<byte> left = Entries(payload, VfioUserRegionFileArea.Length); !left.IsEmpty; left = left[VfioUserRegionFileArea.Length..])
                {
                    VfioUserRegionFileArea area = MemoryMarshal.Read<VfioUserRegionFileArea>(left);
                    Add(area.Offset, area.Size, area.FileOffset, area.DescriptorIndex);
                }

                break;
            case VfioRegionCapability.Type when payload.Length >= Unsafe.SizeOf<VfioRegionType>():
                _type = MemoryMarshal.Read<VfioRegionType>(payload);
                break;
            case VfioRegionCapability.MsixMappable:
                _isMsixMappable = true;
                break;
        }
    }

    private static ReadOnlySpan<byte> Entries(ReadOnlySpan<byte> payload, int size)
    {
        if (payload.Length < AreasHead)
        {
            throw Unsound("a list of areas is cut off");
        }

        uint count = MemoryMarshal.Read<uint>(payload);
        payload = payload[AreasHead..];
        return count <= (uint)(payload.Length / size)
            ? payload[..((int)count * size)]
            : throw Unsound($"{count} areas in {payload.Length} bytes");
    }

    private readonly void Add(ulong offset, ulong size, ulong fileOffset, uint file)
    {
        if (_files.Length != 0)
        {
            _areas!.Add(CheckArea(offset, size, fileOffset, file));
        }
    }

    private readonly RemoteArea CheckArea(ulong offset, ulong size, ulong fileOffset, uint file)
    {
        // A mapping may reach to the end of the region's last page.
        ulong page = (ulong)Environment.SystemPageSize - 1;
        ulong end = _info.Size > ulong.MaxValue - page ? ulong.MaxValue : (_info.Size + page) & ~page;
        if (size == 0 || offset > end || size > end - offset)
        {
            throw Unsound($"an area of 0x{size:x} bytes at 0x{offset:x} in a region of 0x{_info.Size:x}");
        }

        if (fileOffset > long.MaxValue || size > long.MaxValue - fileOffset)
        {
            throw Unsound($"an area of 0x{size:x} bytes at 0x{fileOffset:x} of a file");
        }

        return file < (uint)_files.Length
            ? new RemoteArea(offset, size, fileOffset, (int)file)
            : throw Unsound($"an area with descriptor {file}, and {_files.Length} came");
    }
}
