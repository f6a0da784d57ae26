using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// Takes a reply to DEVICE_GET_REGION_IO_FDS apart. The text's entries and those of the C library differ in length only, so the form is told by
/// how many bytes there are for each.
/// </summary>
internal static class IoFdsReply
{
    /// <summary>Reads a whole reply.</summary>
    /// <param name="index">The region that was asked for.</param>
    /// <param name="reply">Structure and entries, at least the structure.</param>
    /// <param name="descriptors">The descriptors that came; they stay the caller's.</param>
    /// <returns>The entries.</returns>
    /// <exception cref="VfioException">EPROTO: it cannot be so.</exception>
    public static IReadOnlyList<RegionIoFd> Read(uint index, ReadOnlySpan<byte> reply, OwnedDescriptor[] descriptors)
    {
        VfioUserRegionIoFds head = MemoryMarshal.Read<VfioUserRegionIoFds>(reply);
        if (head.Index != index)
        {
            throw Unsound($"the reply is about region {head.Index}, {index} was asked for");
        }

        if (head.Count == 0)
        {
            return [];
        }

        ReadOnlySpan<byte> entries = reply[VfioUserRegionIoFds.Length..];
        if (head.ArgumentSize != (uint)reply.Length || entries.Length % head.Count != 0)
        {
            throw Unsound($"{head.Count} entries in a reply of {reply.Length} bytes that says {head.ArgumentSize}");
        }

        int stride = (int)((uint)entries.Length / head.Count);
        if (stride is not (VfioUserIoFd.Length or VfioUserLibraryIoFd.Length))
        {
            throw Unsound($"entries of {stride} bytes; {VfioUserIoFd.Length} and {VfioUserLibraryIoFd.Length} are known");
        }

        var list = new List<RegionIoFd>((int)head.Count);
        for (; !entries.IsEmpty; entries = entries[stride..])
        {
            list.Add(stride == VfioUserIoFd.Length ? Entry(entries, descriptors) : LibraryEntry(entries, descriptors));
        }

        return list;
    }

    private static RegionIoFd Entry(ReadOnlySpan<byte> bytes, OwnedDescriptor[] descriptors)
    {
        VfioUserIoFd entry = MemoryMarshal.Read<VfioUserIoFd>(bytes);
        return new RegionIoFd(entry.Offset, entry.Size, entry.Type, Find(entry.DescriptorIndex, descriptors))
        {
            Flags = entry.Flags,
            DataMatch = entry.DataMatch,
        };
    }

    private static RegionIoFd LibraryEntry(ReadOnlySpan<byte> bytes, OwnedDescriptor[] descriptors)
    {
        VfioUserLibraryIoFd entry = MemoryMarshal.Read<VfioUserLibraryIoFd>(bytes);
        bool hasShadow = entry.Type == VfioUserIoFdType.ShadowIoeventfd;
        return new RegionIoFd(entry.Offset, entry.Size, entry.Type, Find(entry.DescriptorIndex, descriptors))
        {
            Flags = entry.Flags,
            DataMatch = entry.DataMatch,
            Shadow = hasShadow ? Find(entry.ShadowDescriptorIndex, descriptors) : null,
            ShadowOffset = hasShadow ? entry.ShadowOffset : 0,
        };
    }

    private static OwnedDescriptor? Find(uint index, OwnedDescriptor[] descriptors) =>
        index == VfioUserIoFd.NoDescriptor ? null
        : index < (uint)descriptors.Length ? descriptors[index]
        : throw Unsound($"an entry with descriptor {index}, and {descriptors.Length} came");

    private static VfioException Unsound(string why) => new(Errno.EPROTO, nameof(VfioUserCommand.DeviceGetRegionIoFds), why);
}
