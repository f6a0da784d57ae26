using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_GET_INFO, GET_IRQ_INFO and SET_IRQS.</content>
internal sealed unsafe partial class VfioUserSession
{
    private Errno DeviceGetInfo(ReadOnlySpan<byte> body, out int length)
    {
        length = VfioUserDeviceInfo.Length;
        if (!TryRead(body, out VfioUserDeviceInfo info) || info.ArgumentSize < length)
        {
            return Errno.EINVAL;
        }

        VfioDeviceInfo device = _file!.GetInfo();
        info.ArgumentSize = (uint)length;
        info.Flags = (uint)device.Flags;
        info.RegionCount = (uint)device.RegionCount;
        info.IrqCount = (uint)device.IrqCount;
        MemoryMarshal.Write(Payload(length), info);
        return Errno.None;
    }

    private Errno DeviceGetIrqInfo(ReadOnlySpan<byte> body, out int length)
    {
        length = VfioUserIrqInfo.Length;
        if (!TryRead(body, out VfioUserIrqInfo info) || info.ArgumentSize < length)
        {
            return Errno.EINVAL;
        }

        VfioIrqInfo irq = _file!.GetIrqInfo(info.Index);
        info.ArgumentSize = (uint)length;
        info.Flags = (uint)irq.Flags;
        info.Count = irq.Count;
        MemoryMarshal.Write(Payload(length), info);
        return Errno.None;
    }

    private Errno DeviceSetIrqs(ReadOnlySpan<byte> body)
    {
        if (!TryRead(body, out VfioUserIrqSet set) || set.ArgumentSize < VfioUserIrqSet.Length)
        {
            return Errno.EINVAL;
        }

        ReadOnlySpan<byte> data = body[VfioUserIrqSet.Length..];
        var flags = (VfioIrqSetFlags)set.Flags;
        VfioIrqSetFlags kind = flags & VfioIrqSetFlags.DataMask;
        VfioIrqSetFlags action = flags & VfioIrqSetFlags.ActionsMask;
        int descriptors = _receiver.DescriptorCount;
        if (!uint.IsPow2((uint)kind) || !uint.IsPow2((uint)action) || (kind | action) != flags)
        {
            return Errno.EINVAL;
        }

        // No vector at all is only said to disable an index; errors and requests have nothing but a trigger.
        if ((set.Count == 0 && (set.Start != 0 || kind != VfioIrqSetFlags.DataNone || action != VfioIrqSetFlags.ActionTrigger))
            || (set.Index >= VfioIrqs.Err && action != VfioIrqSetFlags.ActionTrigger))
        {
            return Errno.EINVAL;
        }

        // One byte a vector with bool data; with eventfd data all descriptors or none, and never any with the other kinds.
        if (kind == VfioIrqSetFlags.DataBool ? data.Length != set.Count : data.Length != 0)
        {
            return Errno.EINVAL;
        }

        if (descriptors != 0 && (kind != VfioIrqSetFlags.DataEventfd || descriptors != set.Count))
        {
            return Errno.EINVAL;
        }

        return kind == VfioIrqSetFlags.DataEventfd ? SetIrqEvents(set, flags, descriptors) : SetIrqs(set, flags, data, []);
    }

    private Errno SetIrqEvents(in VfioUserIrqSet set, VfioIrqSetFlags flags, int descriptors)
    {
        // Absent descriptors take vectors away. The range is the device's before anything is kept of it.
        VfioIrqInfo irq = _file!.GetIrqInfo(set.Index);
        if (set.Count > irq.Count || set.Start > irq.Count - set.Count)
        {
            return Errno.EINVAL;
        }

        var events = new EventDescriptor?[set.Count];
        try
        {
            for (int i = 0; i < descriptors; i++)
            {
                OwnedDescriptor descriptor = _receiver.TakeDescriptor(i);
                try
                {
                    events[i] = EventDescriptor.Adopt(descriptor);
                    _watch.Remember(set.Index, flags & VfioIrqSetFlags.ActionsMask, set.Start + (uint)i, events[i]!);
                }
                catch
                {
                    descriptor.Dispose();
                    throw;
                }
            }

            return SetIrqs(set, flags, [], events);
        }
        finally
        {
            foreach (EventDescriptor? e in events)
            {
                e?.Dispose();
            }
        }
    }

    private Errno SetIrqs(in VfioUserIrqSet set, VfioIrqSetFlags flags, ReadOnlySpan<byte> bools, ReadOnlySpan<EventDescriptor?> events)
    {
        _file!.SetIrqs(new VfioIrqRequest
        {
            Flags = flags,
            Index = set.Index,
            Start = set.Start,
            Count = set.Count,
            Bools = bools,
            Events = events,
        });
        return Errno.None;
    }

    /// <summary>The legacy VGA index exists on the wire also where the device has none: absent, not wrong.</summary>
    private VfioRegionInfo GetRegion(uint index)
    {
        try
        {
            return _file!.GetRegionInfo(index);
        }
        catch (VfioException absent) when (index == VfioRegions.Vga && absent.Errno == Errno.EINVAL)
        {
            return new VfioRegionInfo(VfioRegions.Vga, VfioRegionFlags.None, 0);
        }
    }

    private static bool TryRead<T>(ReadOnlySpan<byte> body, out T value)
        where T : unmanaged
    {
        if (body.Length < sizeof(T))
        {
            value = default;
            return false;
        }

        value = MemoryMarshal.Read<T>(body);
        return true;
    }
}
