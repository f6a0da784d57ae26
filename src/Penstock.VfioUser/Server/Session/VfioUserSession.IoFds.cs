using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_GET_REGION_IO_FDS: eventfds that stand for writes to registers.</content>
internal sealed unsafe partial class VfioUserSession
{
    private Errno DeviceGetRegionIoFds(ReadOnlySpan<byte> body, out int length)
    {
        length = VfioUserRegionIoFds.Length;
        if (!TryRead(body, out VfioUserRegionIoFds request)
            || request.ArgumentSize < length
            || request.ArgumentSize > VfioUserLimits.DefaultMaximumTransfer
            || request.Flags != 0
            || request.Count != 0
            || GetRegion(request.Index).Flags == VfioRegionFlags.None)
        {
            return Errno.EINVAL;
        }

        // An entry without its descriptor is of no use, so what the client's limit leaves no room for is not told at all.
        uint room = request.ArgumentSize;
        VfioDoorbell[] doorbells = WithinLimit(_file!.GetDoorbells(request.Index));
        request.Count = (uint)doorbells.Length;
        request.ArgumentSize = (uint)(length + (doorbells.Length * VfioUserIoFd.Length));
        if (request.ArgumentSize <= room)
        {
            length = (int)request.ArgumentSize;
            Span<VfioUserIoFd> entries = MemoryMarshal.Cast<byte, VfioUserIoFd>(Payload(length)[VfioUserRegionIoFds.Length..]);
            for (int i = 0; i < entries.Length; i++)
            {
                entries[i] = EntryOf(doorbells[i]);
            }
        }

        MemoryMarshal.Write(Payload(length), request);
        return Errno.None;
    }

    /// <summary>The doorbells whose descriptors fit into one message, newest first, as the C library has them.</summary>
    private VfioDoorbell[] WithinLimit(IReadOnlyList<VfioDoorbell> doorbells)
    {
        int most = Math.Min(_limits.MaximumDescriptors, VfioUserLimits.MaximumDescriptors);
        HashSet<EventDescriptor> events = [];
        return [.. doorbells.Reverse().Where(d => events.Contains(d.Event) || (events.Count < most && events.Add(d.Event)))];
    }

    private VfioUserIoFd EntryOf(VfioDoorbell doorbell) => new()
    {
        Offset = doorbell.Offset,
        Size = (ulong)doorbell.Size,
        DescriptorIndex = Give(doorbell.Event.Descriptor.Value),
        Type = VfioUserIoFdType.Ioeventfd,
        Flags = (uint)((doorbell.Match is null ? 0 : KvmIoEventfdFlags.DataMatch) | (doorbell.IsPort ? KvmIoEventfdFlags.Pio : 0)),
        DataMatch = doorbell.Match ?? 0,
    };
}
