using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls: address spaces and options.</content>
public sealed partial class IommufdContext
{
    /// <summary>
    /// A call with the kernel's number and structure, which is answered in place. IOAS_NOIOMMU_GET_PA (0x3b95), which newer kernels have, is not
    /// known here (ENOTTY): devices without an IOMMU get no page table, and memory here has no physical address.
    /// </summary>
    /// <param name="request">The number, see <see cref="IommufdRequest"/> and <see cref="VfioContainerRequest"/>.</param>
    /// <param name="argument">The structure. Pointers in it are addresses in the caller's address space.</param>
    /// <returns>What ioctl(2) returns, 0 for nearly all.</returns>
    /// <exception cref="VfioException">
    /// ENOTTY: unknown number; EFAULT: the structure or what it points to is not there; EINVAL: too short; E2BIG: too long and not zero;
    /// EOPNOTSUPP: unknown flag or reserved member set; the errors of the typed call.
    /// </exception>
    public int Ioctl(uint request, Span<byte> argument)
    {
        switch ((IommufdRequest)request)
        {
            case IommufdRequest.Destroy:
                Destroy(Arguments.Take<IommuDestroy>("DESTROY", argument, IommuDestroy.MinimumLength).Id);
                return 0;
            case IommufdRequest.IoasAlloc:
                IoctlIoasAlloc(argument);
                return 0;
            case IommufdRequest.IoasIovaRanges:
                IoctlIovaRanges(argument);
                return 0;
            case IommufdRequest.IoasAllowIovas:
                IoctlAllowIovas(argument);
                return 0;
            case IommufdRequest.IoasMap:
                IoctlMap(argument);
                return 0;
            case IommufdRequest.IoasMapFile:
                IoctlMapFile(argument);
                return 0;
            case IommufdRequest.IoasCopy:
                IoctlCopy(argument);
                return 0;
            case IommufdRequest.IoasUnmap:
                IoctlUnmap(argument);
                return 0;
            case IommufdRequest.Option:
                IoctlOption(argument);
                return 0;
            case IommufdRequest.VfioIoas:
                IoctlVfioIoas(argument);
                return 0;
            case IommufdRequest.HwptAlloc:
                IoctlHwptAlloc(argument);
                return 0;
            case IommufdRequest.GetHardwareInfo:
                IoctlHardwareInfo(argument);
                return 0;
            case IommufdRequest.HwptSetDirtyTracking:
                IoctlSetDirtyTracking(argument);
                return 0;
            case IommufdRequest.HwptGetDirtyBitmap:
                IoctlGetDirtyBitmap(argument);
                return 0;
            case IommufdRequest.HwptInvalidate:
                IoctlInvalidate(argument);
                return 0;
            case IommufdRequest.FaultQueueAlloc:
                IoctlFaultAlloc(argument);
                return 0;
            default:
                return Container.Ioctl(request, argument);
        }
    }

    private static void RequireZero(string what, params ReadOnlySpan<uint> reserved)
    {
        if (reserved.ContainsAnyExcept(0u))
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, "an unknown flag or a reserved member is set");
        }
    }

    private static DmaAccess AccessOf(string what, IommuMapFlags flags)
    {
        RequireZero(what, (uint)(flags & ~IommuMapFlags.All));
        return ((flags & IommuMapFlags.Readable) != 0 ? DmaAccess.Read : 0) | ((flags & IommuMapFlags.Writeable) != 0 ? DmaAccess.Write : 0);
    }

    private static void CheckMap(string what, DmaAccess access, ulong length, params ReadOnlySpan<ulong> iovas)
    {
        if (length == IommufdLimits.Everything || iovas.Contains(IommufdLimits.Everything))
        {
            throw new VfioException(Errno.EOVERFLOW, what, "addresses and length must be below 2^64 - 1");
        }

        if (access == DmaAccess.None)
        {
            throw new VfioException(Errno.EINVAL, what, "it grants neither read nor write");
        }
    }

    private static ulong? Fixed(IommuMapFlags flags, ulong iova) => (flags & IommuMapFlags.FixedIova) != 0 ? iova : null;

    private void IoctlIoasAlloc(Span<byte> argument)
    {
        const string What = "IOAS_ALLOC";
        IommuIoasAlloc call = Arguments.Take<IommuIoasAlloc>(What, argument, IommuIoasAlloc.MinimumLength);
        RequireZero(What, call.Flags);
        call.OutIoasId = AllocateIoas().Id;
        Arguments.Put(argument, call);
    }

    private void IoctlIovaRanges(Span<byte> argument)
    {
        const string What = "IOAS_IOVA_RANGES";
        IommuIoasIovaRanges call = Arguments.Take<IommuIoasIovaRanges>(What, argument, IommuIoasIovaRanges.MinimumLength);
        RequireZero(What, call.Reserved);
        Ioas ioas = Find<Ioas>(What, call.IoasId);
        IReadOnlyList<IovaRange> ranges = ioas.IovaRanges;
        uint room = call.RangeCount;
        call.RangeCount = (uint)ranges.Count;
        ulong pointer = call.RangesPointer;
        foreach (IovaRange range in ranges.Take((int)Math.Min(room, int.MaxValue)))
        {
            var entry = new IommuIovaRange { Start = range.First, Last = range.Last };
            ThrowIf(What, UserMemory.Write(pointer, MemoryMarshal.AsBytes(new ReadOnlySpan<IommuIovaRange>(in entry))));
            pointer += IommuIovaRange.Length;
        }

        call.OutAlignment = ioas.Alignment;
        Arguments.Put(argument, call);
        if (room < ranges.Count)
        {
            throw new VfioException(Errno.EMSGSIZE, What, $"there are {ranges.Count} ranges, the array has room for {room}");
        }
    }

    private void IoctlAllowIovas(Span<byte> argument)
    {
        const string What = "IOAS_ALLOW_IOVAS";
        IommuIoasAllowIovas call = Arguments.Take<IommuIoasAllowIovas>(What, argument, IommuIoasAllowIovas.MinimumLength);
        RequireZero(What, call.Reserved);
        Ioas ioas = Find<Ioas>(What, call.IoasId);
        var ranges = new List<IovaRange>();
        for (uint i = 0; i < call.RangeCount; i++)
        {
            IommuIovaRange entry = default;
            ulong pointer = call.RangesPointer + ((ulong)i * IommuIovaRange.Length);
            ThrowIf(What, UserMemory.Read(pointer, MemoryMarshal.AsBytes(new Span<IommuIovaRange>(ref entry))));
            ranges.Add(new IovaRange(entry.Start, entry.Last));
        }

        ioas.AllowIovas(ranges);
    }

    private void IoctlMap(Span<byte> argument)
    {
        const string What = "IOAS_MAP";
        IommuIoasMap call = Arguments.Take<IommuIoasMap>(What, argument, IommuIoasMap.MinimumLength);
        RequireZero(What, call.Reserved);
        DmaAccess access = AccessOf(What, call.Flags);
        CheckMap(What, access, call.MapLength, call.Iova);
        call.Iova = Find<Ioas>(What, call.IoasId).MapAddress(call.UserAddress, call.MapLength, access, Fixed(call.Flags, call.Iova));
        Arguments.Put(argument, call);
    }

    private void IoctlMapFile(Span<byte> argument)
    {
        const string What = "IOAS_MAP_FILE";
        IommuIoasMapFile call = Arguments.Take<IommuIoasMapFile>(What, argument, IommuIoasMapFile.MinimumLength);
        DmaAccess access = AccessOf(What, call.Flags);
        CheckMap(What, access, call.MapLength, call.Iova);
        Ioas ioas = Find<Ioas>(What, call.IoasId);
        ulong? place = Fixed(call.Flags, call.Iova);
        if (UserFiles.Find(call.FileDescriptor) is VfioDmaBuf buffer)
        {
            call.Iova = ioas.MapFile(buffer, call.Start, call.MapLength, access, place);
        }
        else
        {
            using OwnedDescriptor file = UserFiles.Duplicate(call.FileDescriptor);
            call.Iova = ioas.MapFile(file, call.Start, call.MapLength, access, place);
        }

        Arguments.Put(argument, call);
    }

    private void IoctlCopy(Span<byte> argument)
    {
        const string What = "IOAS_COPY";
        IommuIoasCopy call = Arguments.Take<IommuIoasCopy>(What, argument, IommuIoasCopy.MinimumLength);
        DmaAccess access = AccessOf(What, call.Flags);
        CheckMap(What, access, call.MapLength, call.SourceIova, call.DestinationIova);
        Ioas source = Find<Ioas>(What, call.SourceIoasId);
        lock (Gate)
        {
            source.CheckMapped(What, call.SourceIova, call.MapLength);
            Ioas destination = Find<Ioas>(What, call.DestinationIoasId);
            call.DestinationIova = destination.Copy(source, call.SourceIova, call.MapLength, access, Fixed(call.Flags, call.DestinationIova));
        }

        Arguments.Put(argument, call);
    }

    private void IoctlUnmap(Span<byte> argument)
    {
        const string What = "IOAS_UNMAP";
        IommuIoasUnmap call = Arguments.Take<IommuIoasUnmap>(What, argument, IommuIoasUnmap.MinimumLength);
        call.UnmapLength = Find<Ioas>(What, call.IoasId).Unmap(call.Iova, call.UnmapLength);
        Arguments.Put(argument, call);
    }

    private void IoctlOption(Span<byte> argument)
    {
        const string What = "OPTION";
        IommuOption call = Arguments.Take<IommuOption>(What, argument, IommuOption.MinimumLength);
        RequireZero(What, call.Reserved);
        bool set = call.Operation == IommuOptionOperation.Set;
        switch (call.OptionId)
        {
            case IommuOptionId.RlimitMode:
                RequireZero(What, call.ObjectId);
                RequireOperation(What, call.Operation);
                if (set)
                {
                    SetRlimitMode(call.Value);
                }

                call.Value = set ? call.Value : AccountsByProcess ? 1ul : 0;
                break;
            case IommuOptionId.HugePages:
                Ioas ioas = Find<Ioas>(What, call.ObjectId);
                RequireOperation(What, call.Operation);
                if (set)
                {
                    ioas.HugePages = call.Value <= 1 ? call.Value == 1 : throw new VfioException(Errno.EINVAL, What, $"value {call.Value}: 0 or 1");
                }

                call.Value = set ? call.Value : ioas.HugePages ? 1ul : 0;
                break;
            default:
                throw new VfioException(Errno.EOPNOTSUPP, What, $"there is no option {call.OptionId}");
        }

        Arguments.Put(argument, call);
    }

    private void IoctlVfioIoas(Span<byte> argument)
    {
        const string What = "VFIO_IOAS";
        IommuVfioIoas call = Arguments.Take<IommuVfioIoas>(What, argument, IommuVfioIoas.MinimumLength);
        RequireZero(What, call.Reserved);
        switch (call.Operation)
        {
            case IommuVfioIoasOperation.Get:
                call.IoasId = RequireCompat(What).Id;
                Arguments.Put(argument, call);
                break;
            case IommuVfioIoasOperation.Set:
                CompatIoas = Find<Ioas>(What, call.IoasId);
                break;
            case IommuVfioIoasOperation.Clear:
                CompatIoas = null;
                break;
            default:
                throw new VfioException(Errno.EOPNOTSUPP, What, $"there is no operation {call.Operation}");
        }
    }

    private static void RequireOperation(string what, IommuOptionOperation operation) =>
        RequireZero(what, operation is IommuOptionOperation.Set or IommuOptionOperation.Get ? 0u : 1);

    private static void ThrowIf(string what, Errno errno)
    {
        if (errno != Errno.None)
        {
            throw new VfioException(errno, what, "a pointer leads nowhere");
        }
    }
}
