using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class IommufdContainer
{
    /// <summary>A container call with the kernel's number and structure, which is answered in place.</summary>
    /// <param name="request">The number, see <see cref="VfioCompatRequest"/>.</param>
    /// <param name="argument">The structure; for CHECK_EXTENSION and SET_IOMMU the number in 4 bytes.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: unknown number; EFAULT: no structure; EINVAL: too short or unknown flags; the errors of the typed call.</exception>
    public int Ioctl(uint request, Span<byte> argument)
    {
        switch ((VfioCompatRequest)request)
        {
            case VfioCompatRequest.GetApiVersion:
                return VfioContainer.ApiVersion;
            case VfioCompatRequest.CheckExtension:
                return CheckExtension(TypeOf(argument)) ? 1 : 0;
            case VfioCompatRequest.SetIommu:
                SetIommu(TypeOf(argument));
                return 0;
            case VfioCompatRequest.GetInfo:
                IoctlGetInfo(argument);
                return 0;
            case VfioCompatRequest.MapDma:
                IoctlMap(argument);
                return 0;
            case VfioCompatRequest.UnmapDma:
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
        VfioCompatInfo info = Arguments.TakeIgnoringRest<VfioCompatInfo>(What, argument, VfioCompatInfo.MinimumLength);
        Ioas ioas = _context.RequireCompat(What);
        IReadOnlyList<IovaRange> ranges = ioas.IovaRanges;
        const int Available = VfioCompatCapabilityHeader.Length + (2 * sizeof(uint));
        int list = VfioCompatCapabilityHeader.Length + (2 * sizeof(uint)) + (ranges.Count * IommuIovaRange.Length);
        Span<byte> answer = new byte[VfioCompatInfo.Length + Available + list];
        bool fits = info.ArgumentSize >= (uint)answer.Length;
        info.Flags = VfioCompatInfoFlags.PageSizes | VfioCompatInfoFlags.Capabilities;
        info.PageSizes = ioas.Alignment;
        info.CapabilityOffset = fits ? (uint)VfioCompatInfo.Length : 0;
        uint given = info.ArgumentSize;
        info.ArgumentSize = (uint)answer.Length;
        MemoryMarshal.Write(answer, info);

        int at = VfioCompatInfo.Length;
        WriteHeader(answer[at..], VfioCompatCapability.DmaAvailable, at + Available);
        MemoryMarshal.Write(answer[(at + VfioCompatCapabilityHeader.Length)..], IommufdLimits.CompatAvailable);
        at += Available;
        WriteHeader(answer[at..], VfioCompatCapability.IovaRanges, 0);
        at += VfioCompatCapabilityHeader.Length;
        MemoryMarshal.Write(answer[at..], (uint)ranges.Count);
        at += 2 * sizeof(uint);
        foreach (IovaRange range in ranges)
        {
            MemoryMarshal.Write(answer[at..], new IommuIovaRange { Start = range.First, Last = range.Last });
            at += IommuIovaRange.Length;
        }

        answer[..(fits ? answer.Length : Math.Min((int)given, VfioCompatInfo.Length))].CopyTo(argument);
    }

    private static void WriteHeader(Span<byte> at, ushort id, int next) =>
        MemoryMarshal.Write(at, new VfioCompatCapabilityHeader { Id = id, Version = VfioCompatCapability.Version, Next = (uint)next });

    private void IoctlMap(Span<byte> argument)
    {
        const string What = "MAP_DMA";
        VfioCompatDmaMap call = Arguments.TakeIgnoringRest<VfioCompatDmaMap>(What, argument, VfioCompatDmaMap.MinimumLength);
        const VfioCompatMapFlags Known = VfioCompatMapFlags.Read | VfioCompatMapFlags.Write;
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
        VfioCompatDmaUnmap call = Arguments.TakeIgnoringRest<VfioCompatDmaUnmap>(What, argument, VfioCompatDmaUnmap.MinimumLength);
        if ((call.Flags & ~VfioCompatUnmapFlags.All) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"unknown flags {call.Flags}");
        }

        _ = _context.RequireCompat(What);
        ulong removed = call.UnmapSize;
        try
        {
            UnmapDma(call.Iova, call.UnmapSize, (call.Flags & VfioCompatUnmapFlags.All) != 0, ref removed);
        }
        finally
        {
            call.UnmapSize = removed;
            Arguments.Put(argument, call);
        }
    }
}
