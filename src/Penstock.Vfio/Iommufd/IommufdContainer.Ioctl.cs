using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class IommufdContainer
{
    /// <summary>A container call with the kernel's number and structure, which is answered in place.</summary>
    /// <param name="request">The number, see <see cref="VfioContainerRequest"/>.</param>
    /// <param name="argument">The structure; for CHECK_EXTENSION and SET_IOMMU the number in 4 bytes.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: unknown number; EFAULT: no structure; EINVAL: too short or unknown flags; the errors of the typed call.</exception>
    public int Ioctl(uint request, Span<byte> argument)
    {
        switch ((VfioContainerRequest)request)
        {
            case VfioContainerRequest.GetApiVersion:
                return VfioContainer.ApiVersion;
            case VfioContainerRequest.CheckExtension:
                return CheckExtension(TypeOf(argument)) ? 1 : 0;
            case VfioContainerRequest.SetIommu:
                SetIommu(TypeOf(argument));
                return 0;
            case VfioContainerRequest.GetInfo:
                IoctlGetInfo(argument);
                return 0;
            case VfioContainerRequest.MapDma:
                IoctlMap(argument);
                return 0;
            case VfioContainerRequest.UnmapDma:
                IoctlUnmap(argument);
                return 0;
            default:
                throw new VfioException(Errno.ENOTTY, $"request 0x{request:x}", "an iommufd does not know it");
        }
    }

    private static VfioIommuType TypeOf(ReadOnlySpan<byte> argument) => argument.Length >= sizeof(int)
        ? (VfioIommuType)MemoryMarshal.Read<int>(argument)
        : throw new VfioException(Errno.EFAULT, "container call", "the number is missing");

    private void IoctlGetInfo(Span<byte> argument)
    {
        const string What = "GET_INFO";
        VfioIommuInfo info = Arguments.TakeIgnoringRest<VfioIommuInfo>(What, argument, VfioIommuInfo.MinimumLength);
        Ioas ioas = _context.RequireCompat(What);
        IReadOnlyList<IovaRange> ranges = ioas.IovaRanges;
        const int Available = VfioInfoCapHeader.Length + (2 * sizeof(uint));
        int list = VfioInfoCapHeader.Length + (2 * sizeof(uint)) + (ranges.Count * IommuIovaRange.Length);
        Span<byte> answer = new byte[VfioIommuInfo.Length + Available + list];
        bool fits = info.ArgumentSize >= (uint)answer.Length;
        info.Flags = VfioIommuInfoFlags.PageSizes | VfioIommuInfoFlags.Capabilities;
        info.PageSizes = ioas.Alignment;
        info.CapabilityOffset = fits ? (uint)VfioIommuInfo.Length : 0;
        uint given = info.ArgumentSize;
        info.ArgumentSize = (uint)answer.Length;
        MemoryMarshal.Write(answer, info);

        int at = VfioIommuInfo.Length;
        WriteHeader(answer[at..], VfioIommuInfoCapability.DmaAvailable, at + Available);
        MemoryMarshal.Write(answer[(at + VfioInfoCapHeader.Length)..], IommufdLimits.CompatAvailable);
        at += Available;
        WriteHeader(answer[at..], VfioIommuInfoCapability.IovaRanges, 0);
        at += VfioInfoCapHeader.Length;
        MemoryMarshal.Write(answer[at..], (uint)ranges.Count);
        at += 2 * sizeof(uint);
        foreach (IovaRange range in ranges)
        {
            MemoryMarshal.Write(answer[at..], new IommuIovaRange { Start = range.First, Last = range.Last });
            at += IommuIovaRange.Length;
        }

        answer[..(fits ? answer.Length : Math.Min((int)given, VfioIommuInfo.Length))].CopyTo(argument);
    }

    private static void WriteHeader(Span<byte> at, ushort id, int next) =>
        MemoryMarshal.Write(at, new VfioInfoCapHeader { Id = id, Version = VfioIommuInfoCapability.Version, Next = (uint)next });

    private void IoctlMap(Span<byte> argument)
    {
        const string What = "MAP_DMA";
        VfioDmaMap call = Arguments.TakeIgnoringRest<VfioDmaMap>(What, argument, VfioDmaMap.MinimumLength);
        const VfioDmaMapFlags Known = VfioDmaMapFlags.Read | VfioDmaMapFlags.Write;
        if ((call.Flags & ~Known) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"unknown flags {call.Flags}");
        }

        lock (_context.Gate)
        {
            _context.RequireCompat(What).MapAddress(What, call.UserAddress, call.MapSize, (DmaAccess)call.Flags, call.Iova);
        }
    }

    private void IoctlUnmap(Span<byte> argument)
    {
        const string What = "UNMAP_DMA";
        VfioDmaUnmap call = Arguments.TakeIgnoringRest<VfioDmaUnmap>(What, argument, VfioDmaUnmap.MinimumLength);
        if ((call.Flags & ~VfioDmaUnmapFlags.All) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"unknown flags {call.Flags}");
        }

        _ = _context.RequireCompat(What);
        ulong removed = call.UnmapSize;
        try
        {
            UnmapDma(call.Iova, call.UnmapSize, (call.Flags & VfioDmaUnmapFlags.All) != 0, ref removed);
        }
        finally
        {
            call.UnmapSize = removed;
            Arguments.Put(argument, call);
        }
    }
}
