using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>MAP_DMA, and who pays for the memory.</content>
internal sealed partial class Type1Backend
{
    private int _invalidVaddrs;

    // Objects of mappings that have gone, at most as many as there were mappings at once.
    private Type1Mapping? _free;
    private Type1Payer? _payer;

    public override void Map(in DmaMapRequest request)
    {
        CheckMap(request, vaddr: false);
        (ulong iova, ulong size) = (request.Iova, request.Size);
        if (_mappings.Touches(new IovaRange(iova, iova + (size - 1))))
        {
            throw new VfioException(Errno.EEXIST, Mapping(request), "something in the range is mapped already");
        }

        if (AvailableMappings <= 0)
        {
            throw Full(request);
        }

        CheckRanges(request);
        Type1Mapping mapping = NewMapping(request);
        int done = 0;
        bool emulated = false;
        try
        {
            if (_domains.Count != 0)
            {
                Resolve(mapping);
                mapping.IommuMapped = true;
                Charge(mapping);
                for (; done < _domains.Count; done++)
                {
                    _domains[done].Domain.Map(iova, size, mapping.Access, mapping.Memory, mapping.MemoryOffset);
                }
            }

            if (_emulatedDomain is not null)
            {
                MapEmulated(_emulatedDomain, mapping);
                emulated = true;
            }

            if (_tracking)
            {
                NewBitmap(mapping);
            }

            _mappings.Add(mapping);
        }
        catch
        {
            // Not here: a loop in a handler would keep the compiler from compiling all of this anew with what it has seen of it.
            TakeBack(mapping, done, emulated);
            throw;
        }
    }

    private void TakeBack(Type1Mapping mapping, int domains, bool emulated)
    {
        while (domains-- > 0)
        {
            _domains[domains].Domain.Unmap(mapping.Range);
        }

        if (emulated)
        {
            _emulatedDomain!.Unmap(mapping.Range);
        }

        Forget(mapping);
    }

    public override void UpdateVaddr(in DmaMapRequest request)
    {
        CheckMap(request, vaddr: true);
        var range = new IovaRange(request.Iova, request.Iova + (request.Size - 1));
        if (!_mappings.Touches(range))
        {
            throw new VfioException(Errno.ENOENT, Mapping(request), "nothing is mapped there");
        }

        if (_mappings.At(request.Iova) is not { VaddrInvalid: true } mapping || mapping.Range != range)
        {
            throw new VfioException(Errno.EINVAL, Mapping(request), "it is not exactly one mapping whose address was taken away");
        }

        CheckLength(request);
        ThrowIfInScope(Mapping(request));
        Move(mapping, request);
        mapping.VaddrInvalid = false;
        _invalidVaddrs--;
    }

    private static string Mapping(in DmaMapRequest request) => $"MAP_DMA [0x{request.Iova:x}, +0x{request.Size:x})";

    private static void MapEmulated(TranslatingDomain domain, Type1Mapping mapping)
    {
        // What the memory does not allow is an error only when a device wants it.
        DmaAccess access = mapping.Access & mapping.Memory.Allowed;
        if (access != DmaAccess.None)
        {
            domain.Map(mapping.Iova, mapping.Size, access, mapping.Memory, mapping.MemoryOffset);
        }
    }

    private Type1Mapping NewMapping(in DmaMapRequest request)
    {
        DmaSource source = request.Source;
        CheckLength(request);
        source.Memory?.Hold();
        Type1Mapping mapping = _free ?? new Type1Mapping();
        _free = mapping.NextFree;
        UserMemory memory = source.Memory ?? new AddressSpaceMemory(source.Space!, source.Address, request.Size);
        mapping.Begin(request, memory, source.Memory is null ? 0 : source.Address, PayerFor(request.Caller));
        return mapping;
    }

    private static void CheckLength(in DmaMapRequest request)
    {
        if (request.Source is { Memory: { } memory, Address: var offset } && (offset > memory.Length || request.Size > memory.Length - offset))
        {
            throw PastTheMemory(request);
        }
    }

    private Type1Payer PayerFor(Caller caller)
    {
        if (_payer?.Caller != caller)
        {
            _payer = new Type1Payer(caller);
        }

        return _payer;
    }

    /// <summary>Looks up the memory behind an address.</summary>
    /// <exception cref="VfioException">EFAULT: it is not there, or cannot be written.</exception>
    private static void Resolve(Type1Mapping mapping)
    {
        if (mapping.IsUnresolved)
        {
            mapping.Replace(mapping.Space!.Resolve(mapping.Address, mapping.Size, mapping.Access), 0);
        }
        else if ((mapping.Access & ~mapping.Memory.Allowed) != 0)
        {
            throw NotAllowed(mapping);
        }
    }

    private static ulong PagesToPay(Type1Mapping mapping, bool isReserved) =>
        isReserved ? 0 : mapping.IommuMapped ? mapping.Size / CpuPage : mapping.PinnedPages;

    /// <summary>Brings what is charged for a mapping up to date.</summary>
    /// <exception cref="VfioException">ENOMEM: over the limit; nothing has changed.</exception>
    private void Charge(Type1Mapping mapping)
    {
        ulong pages = PagesToPay(mapping, mapping.Memory.IsReserved);
        if (pages > mapping.Charged)
        {
            _host.LockedMemory.Charge(mapping.Payer.Account, pages - mapping.Charged, mapping.Payer.Limit);
            mapping.Charged = pages;
        }
        else
        {
            Uncharge(mapping);
        }
    }

    /// <summary>As <see cref="Charge"/> when nothing more is needed than before, and never fails.</summary>
    private void Uncharge(Type1Mapping mapping)
    {
        ulong pages = PagesToPay(mapping, mapping.Memory.IsReserved);
        if (pages < mapping.Charged)
        {
            _host.LockedMemory.Uncharge(mapping.Payer.Account, mapping.Charged - pages);
            mapping.Charged = pages;
        }
    }

    private void NoLongerMapped(Type1Mapping mapping)
    {
        mapping.IommuMapped = false;
        Uncharge(mapping);
    }

    /// <summary>Gives back what a mapping has that is in no domain any more.</summary>
    private void Forget(Type1Mapping mapping)
    {
        _invalidVaddrs -= mapping.VaddrInvalid ? 1 : 0;
        NoLongerMapped(mapping);
        mapping.Memory.Release();
    }

    /// <summary>
    /// Puts the same memory at its new place in the domains, in one step, so that DMA never stops. A place where nothing is yet changes only
    /// what drivers see: they find nothing there until something is, while devices go on with the pages that they have.
    /// </summary>
    /// <exception cref="VfioException">EFAULT: it does not allow what the mapping grants; ENOMEM: over the caller's limit; nothing has changed.</exception>
    private void Move(Type1Mapping mapping, in DmaMapRequest request)
    {
        DmaSource source = request.Source;
        UserMemory? memory = Found(mapping, source);
        try
        {
            if (memory is not null && (mapping.Access & ~memory.Allowed) != 0)
            {
                throw new VfioException(Errno.EFAULT, Mapping(request), $"the memory allows {memory.Allowed} only, the mapping grants {mapping.Access}");
            }

            ChangeOwner(mapping, PayerFor(request.Caller), PagesToPay(mapping, (memory ?? mapping.Memory).IsReserved));
        }
        catch
        {
            memory?.Release();
            throw;
        }

        mapping.Space = source.Space;
        mapping.Address = source.Address;
        if (memory is null)
        {
            mapping.Replace(new AddressSpaceMemory(source.Space!, source.Address, mapping.Size, mapping.Memory.IsReserved), 0);
            mapping.IsUnresolved = true;
            return;
        }

        ulong offset = source.Memory is null ? 0 : source.Address;
        foreach (Type1Domain domain in _domains)
        {
            domain.Domain.Replace(mapping.Iova, memory, offset);
        }

        mapping.Replace(memory, offset);
    }

    /// <summary>The memory at a new place, with a reference; null when nothing is there.</summary>
    private static UserMemory? Found(Type1Mapping mapping, in DmaSource source)
    {
        if (source.Memory is { } given)
        {
            given.Hold();
            return given;
        }

        try
        {
            return source.Space!.Resolve(source.Address, mapping.Size, mapping.Access);
        }
        catch (VfioException)
        {
            return null;
        }
    }

    /// <summary>From now on somebody, perhaps somebody else, pays for so many pages.</summary>
    private void ChangeOwner(Type1Mapping mapping, Type1Payer payer, ulong pages)
    {
        bool same = payer.Account == mapping.Payer.Account;
        ulong already = same ? Math.Min(mapping.Charged, pages) : 0;
        if (pages != already)
        {
            _host.LockedMemory.Charge(payer.Account, pages - already, payer.Limit);
        }

        if (mapping.Charged != already)
        {
            _host.LockedMemory.Uncharge(mapping.Payer.Account, mapping.Charged - already);
        }

        mapping.Charged = pages;
        mapping.Payer = same ? mapping.Payer : payer;
    }

    private void CheckMap(in DmaMapRequest request, bool vaddr)
    {
        (ulong iova, ulong size, DmaAccess access, DmaSource source, _) = request;
        bool wraps = iova + (size - 1) < iova || source.Address + (size - 1) < source.Address;
        bool isOdd = (access & ~DmaAccess.ReadWrite) != 0 || (vaddr ? access != DmaAccess.None : access == DmaAccess.None);
        if (size == 0 || wraps || isOdd || ((size | iova | source.Address) & Mask) != 0)
        {
            throw RefusedMap(request, vaddr, wraps);
        }
    }

    // Apart from the checks, as texts that are put together would cost each map a frame of their parts.
    private VfioException RefusedMap(in DmaMapRequest request, bool vaddr, bool wraps)
    {
        (_, ulong size, DmaAccess access, DmaSource source, _) = request;
        (Errno errno, string why) = (access & ~DmaAccess.ReadWrite) != 0 ? (Errno.EINVAL, $"unknown access bits {access}")
            : size == 0 ? (Errno.EINVAL, "the size is 0")
            : wraps ? (Errno.EOVERFLOW, $"it, or its {source}, ends past 2^64")
            : vaddr && access != DmaAccess.None ? (Errno.EINVAL, "a new address cannot come with access rights")
            : !vaddr && access == DmaAccess.None ? (Errno.EINVAL, "it grants neither read nor write")
            : (Errno.EINVAL, $"address, size and {source} must be multiples of 0x{SmallestPage:x}");
        return new VfioException(errno, Mapping(request), why);
    }

    private void CheckRanges(in DmaMapRequest request)
    {
        var range = new IovaRange(request.Iova, request.Iova + (request.Size - 1));
        bool allowed = _ranges.Length == 0;
        foreach (IovaRange r in _ranges)
        {
            allowed |= r.Contains(range);
        }

        if (!allowed)
        {
            throw OutOfRanges(request);
        }
    }

    private VfioException OutOfRanges(in DmaMapRequest request) =>
        new(Errno.EINVAL, Mapping(request), $"it is not inside one of the ranges {string.Join(", ", _ranges)}");

    private VfioException Full(in DmaMapRequest request) => new(Errno.ENOSPC, Mapping(request), $"the container holds {_limit} mappings, its limit");

    private static VfioException PastTheMemory(in DmaMapRequest request) =>
        new(Errno.EFAULT, Mapping(request), $"{request.Source} leads past its 0x{request.Source.Memory!.Length:x} bytes");

    private static VfioException NotAllowed(Type1Mapping mapping) =>
        new(Errno.EFAULT, $"mapping {mapping.Range}", $"the memory allows {mapping.Memory.Allowed} only");
}
