using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Pins of drivers, and their copies.</content>
internal sealed partial class Type1Backend
{
    public override Errno Pin(VfioDevice device, ulong iova, int count, DmaAccess access, Span<PinnedPage> pages)
    {
        if (!_v2)
        {
            return Errno.EACCES;
        }

        iova &= ~(CpuPage - 1);
        ulong size = (ulong)count * CpuPage;
        if (size - 1 > ulong.MaxValue - iova)
        {
            return Errno.EOVERFLOW;
        }

        if (_invalidVaddrs != 0)
        {
            return Errno.EBUSY;
        }

        if (!_devices.Contains(device))
        {
            return Errno.EINVAL;
        }

        ulong done = 0;
        while (done < size)
        {
            Type1Mapping? mapping = _mappings.At(iova + done);
            ulong piece = mapping is null ? 0 : Math.Min(size - done, mapping.Last - (iova + done) + 1);
            Errno errno = mapping is null
                ? Errno.EINVAL
                : PinPiece(device, mapping, iova + done - mapping.Iova, piece, access, pages[(int)(done / CpuPage)..]);
            if (errno != Errno.None)
            {
                Unpin(device, iova, (int)(done / CpuPage));
                return errno;
            }

            done += piece;
        }

        if (_tracking)
        {
            Written(iova, size);
        }

        GroupOf(device).HasPinnedScope = true;
        return Errno.None;
    }

    public override bool Unpin(VfioDevice device, ulong iova, int count)
    {
        iova &= ~(CpuPage - 1);
        ulong dropped = 0;
        for (int done = 0; done < count;)
        {
            ulong at = iova + ((ulong)done * CpuPage);
            if (_mappings.At(at) is not { } mapping)
            {
                break;
            }

            ulong pages = Math.Min((ulong)(count - done), (mapping.Last - at + 1) / CpuPage);
            dropped += mapping.Pins is null ? 0 : Dropped(mapping, mapping.Pins.Remove(device, (at - mapping.Iova) / CpuPage, pages));
            done += (int)pages;
        }

        return dropped == (ulong)count;
    }

    public override Errno Find(ulong iova, ulong length, DmaAccess access, out HeldMemory held)
    {
        held = default;
        if (_invalidVaddrs != 0)
        {
            return Errno.EBUSY;
        }

        if (_mappings.At(iova) is not { } mapping)
        {
            return Errno.EINVAL;
        }

        // The CPU cannot write what it may not read.
        if ((mapping.Access & (access | DmaAccess.Read)) != (access | DmaAccess.Read) || mapping.Space is { IsGone: true })
        {
            return Errno.EPERM;
        }

        ulong offset = iova - mapping.Iova;
        mapping.Memory.Hold();
        held = new HeldMemory(mapping.Memory, mapping.MemoryOffset + offset, Math.Min(length, mapping.Size - offset));
        return Errno.None;
    }

    public override void Written(ulong iova, ulong length)
    {
        while (_tracking && length != 0 && _mappings.At(iova) is { } mapping)
        {
            ulong piece = Math.Min(length, mapping.Last - iova + 1);
            MarkBytes(mapping, iova, piece);
            iova += piece;
            length -= piece;
        }
    }

    private Type1Group GroupOf(VfioDevice device)
    {
        foreach (Type1Domain domain in _domains)
        {
            foreach (Type1Group group in domain.Groups)
            {
                if (group.Group == device.Group)
                {
                    return group;
                }
            }
        }

        foreach (Type1Group group in _emulated)
        {
            if (group.Group == device.Group)
            {
                return group;
            }
        }

        throw new InvalidOperationException($"{device.Name} has pinned, and its group is not in this container");
    }

    private Errno PinPiece(VfioDevice device, Type1Mapping mapping, ulong offset, ulong length, DmaAccess access, Span<PinnedPage> pages)
    {
        if ((mapping.Access & access) != access)
        {
            return Errno.EPERM;
        }

        if (mapping.Space is { IsGone: true })
        {
            return Errno.ENODEV;
        }

        Errno errno = Reach(mapping, offset, length, access);
        if (errno != Errno.None || mapping.Memory.IsReserved)
        {
            // Device registers are no pages that could be pinned.
            return errno != Errno.None ? errno : Errno.EINVAL;
        }

        ulong count = length / CpuPage;
        mapping.Pins ??= new Type1Pins();
        mapping.Pins.Add(device, offset / CpuPage, count);
        _host.Ledger.Acquired(ResourceKind.Pin, (long)count);
        try
        {
            Charge(mapping);
        }
        catch (VfioException over)
        {
            Dropped(mapping, mapping.Pins.Remove(device, offset / CpuPage, count));
            return over.Errno;
        }

        for (int i = 0; i < (int)count; i++)
        {
            pages[i] = new PinnedPage(mapping.Memory, mapping.MemoryOffset + offset + ((ulong)i * CpuPage));
        }

        return Errno.None;
    }

    /// <summary>Whether the memory to be pinned is there. If it cannot be had as a whole, the pages alone are looked at.</summary>
    private static Errno Reach(Type1Mapping mapping, ulong offset, ulong length, DmaAccess access)
    {
        if (!mapping.IsUnresolved)
        {
            return (access & ~mapping.Memory.Allowed) == 0 ? Errno.None : Errno.EFAULT;
        }

        IUserAddressSpace space = mapping.Space!;
        try
        {
            mapping.Replace(space.Resolve(mapping.Address, mapping.Size, mapping.Access), 0);
            return Errno.None;
        }
        catch (VfioException)
        {
            try
            {
                space.Resolve(mapping.Address + offset, length, access).Release();
                return Errno.None;
            }
            catch (VfioException part)
            {
                return part.Errno;
            }
        }
    }

    /// <summary>Pins have been dropped: what nobody needs any more is charged no longer.</summary>
    private ulong Dropped(Type1Mapping mapping, ulong pins)
    {
        _host.Ledger.Released(ResourceKind.Pin, (long)pins);
        Uncharge(mapping);
        if (mapping.PinnedPages == 0)
        {
            mapping.Unpinned();
        }

        return pins;
    }

    private void DropPins(VfioDevice device)
    {
        ulong dropped = 0;
        foreach (Type1Mapping mapping in _mappings.All)
        {
            dropped += mapping.Pins is null ? 0 : Dropped(mapping, mapping.Pins.RemoveAll(device));
        }

        if (dropped != 0)
        {
            _host.Options.Log?.Invoke($"{device.Name}: closed with {dropped} pins, which are dropped");
        }
    }
}
