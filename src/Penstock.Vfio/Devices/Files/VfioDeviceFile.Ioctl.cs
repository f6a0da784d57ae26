using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public partial class VfioDeviceFile
{
    /// <inheritdoc/>
    /// <remarks>
    /// <see cref="VfioDeviceRequest"/> has the numbers; what the core does not know goes to the device. EINVAL for everything before a device
    /// that was opened by itself is bound; EIO when the device is suspended and cannot be woken.
    /// </remarks>
    public override int Ioctl(uint request, Span<byte> argument)
    {
        if (request == (uint)VfioCdevRequest.BindIommufd)
        {
            throw new VfioException(Errno.EINVAL, "BIND_IOMMUFD", $"{Name} was opened through its group, which has its IOMMU");
        }

        using (Enter($"request 0x{request:x}"))
        {
            return Dispatch((VfioDeviceRequest)request, argument);
        }
    }

    private static CapabilityChain CapabilitiesOf(in VfioRegionInfo info)
    {
        var chain = new CapabilityChain();
        if (info.Type is { } type)
        {
            chain.Add(VfioRegionCapability.Type, VfioRegionCapability.Version, type.Type, type.Subtype);
        }

        if (info.MappableAreas is { } areas)
        {
            ulong[] words = [(ulong)areas.Count, .. areas.SelectMany(static a => (ulong[])[a.Offset, a.Size])];
            chain.Add(VfioRegionCapability.SparseMmap, VfioRegionCapability.Version, (ReadOnlySpan<ulong>)words);
        }

        if (info.IsMsixMappable)
        {
            chain.Add<byte>(VfioRegionCapability.MsixMappable, VfioRegionCapability.Version);
        }

        return chain;
    }

    private int Dispatch(VfioDeviceRequest request, Span<byte> argument)
    {
        switch (request)
        {
            case VfioDeviceRequest.GetInfo:
                IoctlGetInfo(argument);
                return 0;
            case VfioDeviceRequest.GetRegionInfo:
                IoctlGetRegionInfo(argument);
                return 0;
            case VfioDeviceRequest.GetIrqInfo:
                IoctlGetIrqInfo(argument);
                return 0;
            case VfioDeviceRequest.SetIrqs:
                IoctlSetIrqs(argument);
                return 0;
            case VfioDeviceRequest.Reset:
                Reset();
                return 0;
            case VfioDeviceRequest.Feature:
                return _device.DeviceFeature(this, argument);
            default:
                return _device.Ioctl((uint)request, argument);
        }
    }

    private void IoctlGetInfo(Span<byte> argument)
    {
        const string What = "DEVICE_GET_INFO";
        VfioDeviceGetInfo call = Arguments.TakeIgnoringRest<VfioDeviceGetInfo>(What, argument, VfioDeviceGetInfo.MinimumLength);
        VfioDeviceInfo info = GetInfo();
        call.Flags = info.Flags;
        call.RegionCount = (uint)info.RegionCount;
        call.IrqCount = (uint)info.IrqCount;
        call.CapabilityOffset = 0;
        var chain = new CapabilityChain();
        foreach (VfioInfoCapability capability in info.Capabilities ?? [])
        {
            chain.Add(capability.Id, capability.Version, capability.Payload.Span);
        }

        if (chain.Length != 0)
        {
            call.Flags |= VfioDeviceFlags.Caps;
            uint needed = VfioDeviceGetInfo.Length + (uint)chain.Length;
            if (call.ArgumentSize >= needed)
            {
                call.CapabilityOffset = VfioDeviceGetInfo.Length;
                chain.Write(argument, VfioDeviceGetInfo.Length);
            }

            // Put goes by the size that the structure says, which must still be the caller's.
            Arguments.Put(argument, call with { ArgumentSize = Math.Max(call.ArgumentSize, needed) });
            return;
        }

        Arguments.Put(argument, call);
    }

    private void IoctlGetRegionInfo(Span<byte> argument)
    {
        const string What = "DEVICE_GET_REGION_INFO";
        VfioDeviceGetRegionInfo call = Arguments.TakeIgnoringRest<VfioDeviceGetRegionInfo>(What, argument, VfioDeviceGetRegionInfo.Length);
        VfioRegionInfo info = GetRegionInfo(call.Index);
        call.Flags = info.Flags;
        call.CapabilityOffset = 0;
        call.Size = info.Size;
        call.Offset = info.Offset;
        CapabilityChain chain = CapabilitiesOf(info);
        if (chain.Length != 0)
        {
            call.Flags |= VfioRegionFlags.Caps;
            uint needed = VfioDeviceGetRegionInfo.Length + (uint)chain.Length;
            if (call.ArgumentSize < needed)
            {
                call.ArgumentSize = needed;
            }
            else
            {
                call.CapabilityOffset = VfioDeviceGetRegionInfo.Length;
                chain.Write(argument, VfioDeviceGetRegionInfo.Length);
            }
        }

        MemoryMarshal.Write(argument, call);
    }

    private void IoctlGetIrqInfo(Span<byte> argument)
    {
        const string What = "DEVICE_GET_IRQ_INFO";
        VfioDeviceGetIrqInfo call = Arguments.TakeIgnoringRest<VfioDeviceGetIrqInfo>(What, argument, VfioDeviceGetIrqInfo.Length);
        VfioIrqInfo info = GetIrqInfo(call.Index);
        call.Flags = info.Flags;
        call.Count = info.Count;
        Arguments.Put(argument, call);
    }

    private void IoctlSetIrqs(ReadOnlySpan<byte> argument)
    {
        const string What = "DEVICE_SET_IRQS";
        VfioDeviceSetIrqs call = Arguments.TakeIgnoringRest<VfioDeviceSetIrqs>(What, argument, VfioDeviceSetIrqs.Length);
        ReadOnlySpan<byte> data = argument[VfioDeviceSetIrqs.Length..(int)call.ArgumentSize];
        ReadOnlySpan<int> descriptors = (call.Flags & VfioIrqSetFlags.DataEventfd) != 0 ? MemoryMarshal.Cast<byte, int>(data) : [];
        descriptors = descriptors[..(int)Math.Min((uint)descriptors.Length, call.Count)];
        var events = new EventDescriptor?[descriptors.Length];
        var errors = new Errno[descriptors.Length];
        try
        {
            for (int i = 0; i < descriptors.Length; i++)
            {
                errors[i] = FindEvent(descriptors[i], out events[i]);
            }

            SetIrqs(new VfioIrqRequest
            {
                Flags = call.Flags,
                Index = call.Index,
                Start = call.Start,
                Count = call.Count,
                Bools = data,
                Events = events,
                EventErrors = errors,
            });
        }
        finally
        {
            Array.ForEach(events, static e => e?.Dispose());
        }
    }

    /// <summary>A duplicate of one of the caller's eventfds; what is wrong with a descriptor is told, not thrown.</summary>
    private Errno FindEvent(int descriptor, out EventDescriptor? found)
    {
        found = null;
        if (descriptor < 0)
        {
            return descriptor == VfioDeviceSetIrqs.NoEvent ? Errno.None : Errno.EINVAL;
        }

        try
        {
            if (UserFiles.Find(descriptor) is { } file)
            {
                found = (file as EventDescriptor)?.Duplicate();
                return found is null ? Errno.EINVAL : Errno.None;
            }

            OwnedDescriptor duplicate = UserFiles.Duplicate(descriptor);
            try
            {
                found = EventDescriptor.Adopt(duplicate);
                return Errno.None;
            }
            finally
            {
                if (found is null)
                {
                    duplicate.Dispose();
                }
            }
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
        catch (SystemCallException e)
        {
            return e.Errno;
        }
    }
}
