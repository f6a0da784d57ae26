using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
internal sealed partial class Type1Backend
{
    public override int Ioctl(uint request, Span<byte> argument, Caller caller, IUserAddressSpace memory)
    {
        switch ((VfioContainerRequest)request)
        {
            case VfioContainerRequest.GetInfo:
                IoctlGetInfo(argument);
                return 0;
            case VfioContainerRequest.MapDma:
                IoctlMap(argument, caller, memory);
                return 0;
            case VfioContainerRequest.UnmapDma:
                IoctlUnmap(argument, memory);
                return 0;
            case VfioContainerRequest.DirtyPages:
                IoctlDirtyPages(argument, memory);
                return 0;
            default:
                return base.Ioctl(request, argument, caller, memory);
        }
    }

    private void IoctlGetInfo(Span<byte> argument)
    {
        VfioIommuInfo info = Arguments.TakeIgnoringRest<VfioIommuInfo>("IOMMU_GET_INFO", argument, VfioIommuInfo.MinimumLength);
        uint given = info.ArgumentSize;
        const int Available = VfioInfoCapHeader.Length + (2 * sizeof(uint));
        int ranges = _ranges.Length == 0 ? 0 : VfioInfoCapHeader.Length + (2 * sizeof(uint)) + (_ranges.Length * IommuIovaRange.Length);
        int dmaAvailable = VfioIommuInfo.Length + VfioIommuInfoMigration.Length;
        Span<byte> answer = new byte[dmaAvailable + Available + ranges];
        bool fits = given >= (uint)answer.Length;
        info = new VfioIommuInfo
        {
            ArgumentSize = (uint)answer.Length,
            Flags = VfioIommuInfoFlags.PageSizes | VfioIommuInfoFlags.Capabilities,
            PageSizes = _pageSizes,
            CapabilityOffset = fits ? (uint)VfioIommuInfo.Length : 0,
        };
        MemoryMarshal.Write(answer, info);
        MemoryMarshal.Write(answer[VfioIommuInfo.Length..], new VfioIommuInfoMigration
        {
            Header = Header(VfioIommuInfoCapability.Migration, dmaAvailable),
            PageSizes = SmallestPage,
            MaximumBitmap = VfioIommuInfoMigration.LargestBitmap,
        });
        Span<byte> at = answer[dmaAvailable..];
        MemoryMarshal.Write(at, Header(VfioIommuInfoCapability.DmaAvailable, _ranges.Length == 0 ? 0 : dmaAvailable + Available));
        MemoryMarshal.Write(at[VfioInfoCapHeader.Length..], (uint)AvailableMappings);
        if (_ranges.Length != 0)
        {
            at = at[Available..];
            MemoryMarshal.Write(at, Header(VfioIommuInfoCapability.IovaRanges, 0));
            MemoryMarshal.Write(at[VfioInfoCapHeader.Length..], (uint)_ranges.Length);
            at = at[(VfioInfoCapHeader.Length + (2 * sizeof(uint)))..];
            foreach (IovaRange range in _ranges)
            {
                MemoryMarshal.Write(at, new IommuIovaRange { Start = range.First, Last = range.Last });
                at = at[IommuIovaRange.Length..];
            }
        }

        answer[..(fits ? answer.Length : Math.Min((int)given, VfioIommuInfo.Length))].CopyTo(argument);
    }

    private static VfioInfoCapHeader Header(ushort id, int next) => new() { Id = id, Version = VfioIommuInfoCapability.Version, Next = (uint)next };

    private void IoctlMap(Span<byte> argument, Caller caller, IUserAddressSpace memory)
    {
        const string What = "MAP_DMA";
        VfioDmaMap call = Arguments.TakeIgnoringRest<VfioDmaMap>(What, argument, VfioDmaMap.MinimumLength);
        const VfioDmaMapFlags AccessFlags = VfioDmaMapFlags.Read | VfioDmaMapFlags.Write;
        if ((call.Flags & ~(AccessFlags | VfioDmaMapFlags.Vaddr)) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"unknown flags {call.Flags}");
        }

        var request = new DmaMapRequest(call.Iova, call.MapSize, (DmaAccess)(call.Flags & AccessFlags), new DmaSource(memory, call.UserAddress), caller);
        if ((call.Flags & VfioDmaMapFlags.Vaddr) != 0)
        {
            UpdateVaddr(request);
        }
        else
        {
            Map(request);
        }
    }

    private void IoctlUnmap(Span<byte> argument, IUserAddressSpace memory)
    {
        const string What = "UNMAP_DMA";
        VfioDmaUnmap call = Arguments.TakeIgnoringRest<VfioDmaUnmap>(What, argument, VfioDmaUnmap.MinimumLength);
        var request = new DmaUnmapRequest { Iova = call.Iova, Size = call.UnmapSize, Flags = call.Flags };
        if (call.Flags == VfioDmaUnmapFlags.GetDirtyBitmap)
        {
            RequireLength(What, call.ArgumentSize, VfioDmaUnmap.Length);
            request = new DmaUnmapRequest { Iova = call.Iova, Size = call.UnmapSize, Flags = call.Flags, Bitmap = BitmapOf(call.Bitmap, memory) };
        }

        call.UnmapSize = Unmap(request);
        Arguments.Put(argument, call);
    }

    private void IoctlDirtyPages(Span<byte> argument, IUserAddressSpace memory)
    {
        const string What = "DIRTY_PAGES";
        RequireV2(What);
        VfioDirtyPages call = Arguments.TakeIgnoringRest<VfioDirtyPages>(What, argument, VfioDirtyPages.MinimumLength);
        switch (call.Flags)
        {
            case VfioDirtyPagesFlags.Start:
                SetDirtyTracking(true);
                break;
            case VfioDirtyPagesFlags.Stop:
                SetDirtyTracking(false);
                break;
            case VfioDirtyPagesFlags.GetBitmap:
                RequireLength(What, call.ArgumentSize, VfioDirtyPages.Length);
                GetDirtyPages(call.Iova, call.RangeSize, BitmapOf(call.Bitmap, memory));
                break;
            default:
                throw new VfioException(Errno.EINVAL, What, $"flags {call.Flags}; exactly one of Start, Stop and GetBitmap must be given");
        }
    }

    private static DirtyBitmap BitmapOf(VfioBitmap bitmap, IUserAddressSpace memory) => new(memory, bitmap.Data, bitmap.Size, bitmap.PageSize);

    private static void RequireLength(string what, uint given, int needed)
    {
        if (given < (uint)needed)
        {
            throw new VfioException(Errno.EINVAL, what, $"the structure has {given} bytes, {needed} are needed for a bitmap");
        }
    }
}
