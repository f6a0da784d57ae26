using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls: page tables and faults.</content>
public sealed partial class IommufdContext
{
    private void IoctlHwptAlloc(Span<byte> argument)
    {
        const string What = "HWPT_ALLOC";
        IommuHwptAlloc call = Arguments.Take<IommuHwptAlloc>(What, argument, IommuHwptAlloc.MinimumLength);
        RequireZero(What, call.Reserved, call.Reserved2);
        var request = new HwPagetableRequest
        {
            Flags = call.Flags,
            DeviceId = call.DeviceId,
            ParentId = call.ParentId,
            DataType = call.DataType,
            FaultId = call.FaultId,
        };
        HwPagetable table = AllocateHwPagetable(request, call.DataLength, () => Fetch(What, call.DataPointer, call.DataLength));
        call.OutHwptId = table.Id;
        Arguments.Put(argument, call);
    }

    private byte[] Fetch(string what, ulong pointer, uint length)
    {
        if (length > (uint)Environment.SystemPageSize)
        {
            throw new VfioException(Errno.E2BIG, what, $"{length} bytes of data are more than a page");
        }

        byte[] data = new byte[length];
        ThrowIf(what, UserMemory.Read(pointer, data));
        return data;
    }

    private void IoctlHardwareInfo(Span<byte> argument)
    {
        const string What = "GET_HW_INFO";
        IommuHardwareInfo call = Arguments.Take<IommuHardwareInfo>(What, argument, IommuHardwareInfo.MinimumLength);
        RequireZero(What, (uint)(call.Flags & ~IommuHardwareInfoFlags.InputType), call.Reserved0, call.Reserved1);
        bool asksType = (call.Flags & IommuHardwareInfoFlags.InputType) != 0;
        RequireZero(What, asksType ? 0 : call.DataType);
        IommuGroup group = Find<IommufdDevice>(What, call.DeviceId).Group;
        if (group.IsNoIommu)
        {
            throw new VfioException(Errno.EOPNOTSUPP, What, "the device has no IOMMU");
        }

        IommuUnitOptions unit = group.Unit.Options;
        if (asksType && call.DataType != IommufdLimits.NoData && call.DataType != unit.HardwareInfoType)
        {
            throw new VfioException(Errno.EOPNOTSUPP, What, $"the device's IOMMU has no information of type {call.DataType}");
        }

        ReadOnlySpan<byte> info = unit.HardwareInfo.Span;
        ReadOnlySpan<byte> fitting = info[..(int)Math.Min(call.DataLength, (uint)info.Length)];
        if (!fitting.IsEmpty)
        {
            ThrowIf(What, UserMemory.Write(call.DataPointer, fitting));
        }

        ulong done = (ulong)info.Length;
        Span<byte> zeroes = stackalloc byte[64];
        zeroes.Clear();
        while (done < call.DataLength)
        {
            int chunk = (int)Math.Min(call.DataLength - done, (ulong)zeroes.Length);
            ThrowIf(What, UserMemory.Write(call.DataPointer + done, zeroes[..chunk]));
            done += (ulong)chunk;
        }

        call.DataLength = (uint)info.Length;
        call.DataType = unit.HardwareInfoType;
        call.OutMaxPasidLog2 = (byte)unit.PasidBits;
        call.OutCapabilities = unit.DirtyTracking ? IommuHardwareCapabilities.DirtyTracking : IommuHardwareCapabilities.None;
        Arguments.Put(argument, call);
    }

    private void IoctlSetDirtyTracking(Span<byte> argument)
    {
        const string What = "HWPT_SET_DIRTY_TRACKING";
        IommuHwptSetDirtyTracking call = Arguments.Take<IommuHwptSetDirtyTracking>(What, argument, IommuHwptSetDirtyTracking.MinimumLength);
        RequireZero(What, call.Flags & ~IommufdLimits.DirtyTrackingEnable, call.Reserved);
        Find<PagingHwPagetable>(What, call.HwptId).SetDirtyTracking((call.Flags & IommufdLimits.DirtyTrackingEnable) != 0);
    }

    private void IoctlGetDirtyBitmap(Span<byte> argument)
    {
        const string What = "HWPT_GET_DIRTY_BITMAP";
        IommuHwptGetDirtyBitmap call = Arguments.Take<IommuHwptGetDirtyBitmap>(What, argument, IommuHwptGetDirtyBitmap.MinimumLength);
        RequireZero(What, call.Flags & ~IommufdLimits.DirtyBitmapNoClear, call.Reserved);
        PagingHwPagetable table = Find<PagingHwPagetable>(What, call.HwptId);
        _ = table.CheckDirtyRange(call.Iova, call.RangeLength, call.PageSize);
        foreach ((ulong first, ulong last) in table.CollectDirty(call.Iova, call.RangeLength, (call.Flags & IommufdLimits.DirtyBitmapNoClear) != 0))
        {
            SetBits(What, call.DataPointer, (first - call.Iova) / call.PageSize, (last - call.Iova) / call.PageSize);
        }
    }

    private void SetBits(string what, ulong pointer, ulong first, ulong last)
    {
        Span<byte> bits = stackalloc byte[1];
        for (ulong index = first / 8; index <= last / 8; index++)
        {
            int from = index == first / 8 ? (int)(first % 8) : 0;
            int to = index == last / 8 ? (int)(last % 8) : 7;
            ThrowIf(what, UserMemory.Read(pointer + index, bits));
            bits[0] |= (byte)(((1 << (to - from + 1)) - 1) << from);
            ThrowIf(what, UserMemory.Write(pointer + index, bits));
        }
    }

    private void IoctlInvalidate(Span<byte> argument)
    {
        const string What = "HWPT_INVALIDATE";
        IommuHwptInvalidate call = Arguments.Take<IommuHwptInvalidate>(What, argument, IommuHwptInvalidate.MinimumLength);
        uint count = call.EntryCount;
        call.EntryCount = 0;
        Errno errno;
        if (call.Reserved != 0)
        {
            errno = Errno.EOPNOTSUPP;
        }
        else if (count != 0 && (call.DataPointer == 0 || !NestedHwPagetable.IsEntryShape(call.EntryLength, count)))
        {
            errno = Errno.EINVAL;
        }
        else
        {
            lock (Gate)
            {
                errno = Invalidate(call.HwptId, call, count, out call.EntryCount);
            }
        }

        // How many were handled is told on errors too.
        Arguments.Put(argument, call);
        if (errno != Errno.None)
        {
            throw new VfioException(errno, What, $"entry {call.EntryCount} of {count}, or the request itself, was refused");
        }
    }

    private Errno Invalidate(uint id, in IommuHwptInvalidate call, uint count, out uint handled)
    {
        handled = 0;
        if (id == 0 || id > (uint)_objects.Count || _objects[(int)id - 1] is not { } found)
        {
            return Errno.ENOENT;
        }

        if (found is not NestedHwPagetable nested)
        {
            return Errno.EINVAL;
        }

        Errno errno = nested.CheckInvalidation(call.DataType, call.EntryLength, count);
        Span<byte> entry = count == 0 ? [] : new byte[call.EntryLength];
        while (errno == Errno.None && handled < count)
        {
            errno = UserMemory.Read(call.DataPointer + ((ulong)handled * call.EntryLength), entry);
            errno = errno == Errno.None ? nested.Invalidate(entry) : errno;
            handled += errno == Errno.None ? 1u : 0;
        }

        return errno;
    }

    private void IoctlFaultAlloc(Span<byte> argument)
    {
        const string What = "FAULT_QUEUE_ALLOC";
        IommuFaultAlloc call = Arguments.Take<IommuFaultAlloc>(What, argument, IommuFaultAlloc.MinimumLength);
        RequireZero(What, call.Flags);
        FaultQueue queue = AllocateFaultQueue();
        call.OutFaultId = queue.Id;
        call.OutFaultDescriptor = UserFiles.Install(queue);
        Arguments.Put(argument, call);
    }
}
