using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// The type1 backend: one set of mappings, put into one domain for each IOMMU unit among the attached groups. The first form removes
/// mappings that an unmap only touches; the second refuses to cut any.
/// </summary>
internal sealed class Type1Backend : IommuBackend
{
    private static readonly ulong CpuPage = (ulong)Environment.SystemPageSize;

    private readonly VfioHost _host;
    private readonly bool _v2;
    private readonly int _limit;
    private readonly Type1Mappings _mappings = new();
    private readonly List<Type1Domain> _domains = [];
    private IReadOnlyList<IovaRange> _ranges = [IovaRange.All];
    private ulong _pageSizes = SizesFromCpuPage(ulong.MaxValue);

    internal Type1Backend(VfioHost host, bool splitsNothing)
    {
        _host = host;
        _v2 = splitsNothing;
        _limit = host.Options.MappingLimit;
    }

    public override ulong PageSizes => _pageSizes;

    public override int AvailableMappings => _limit - _mappings.Count;

    public override IReadOnlyList<IovaRange> IovaRanges => _ranges;

    internal IReadOnlyList<Type1Domain> Domains => _domains;

    private ulong Mask => (1ul << BitOperations.TrailingZeroCount(_pageSizes)) - 1;

    public override bool Reports(VfioIommuType extension) => extension switch
    {
        VfioIommuType.Type1 or VfioIommuType.Type1V2 or VfioIommuType.UnmapAll => true,

        // Units that are not coherent accept no devices, so every domain is.
        VfioIommuType.DmaCacheCoherent => true,
        _ => false,
    };

    public override void AttachGroup(IommuGroup group)
    {
        string what = $"attaching {group}";
        if (_domains.Exists(d => d.Groups.Contains(group)))
        {
            throw new VfioException(Errno.EINVAL, what, "it is in this container already");
        }

        IommuUnitOptions unit = group.Unit.Options;
        if (!_ranges.Any(r => r.Overlaps(unit.Aperture)))
        {
            throw new VfioException(Errno.EINVAL, what, $"its aperture {unit.Aperture} has nothing in common with the container's ranges");
        }

        if (_mappings.All.FirstOrDefault(m => !unit.Aperture.Contains(m.Range)) is { } outside)
        {
            throw new VfioException(Errno.EINVAL, what, $"the mapping at {outside.Range} lies outside its aperture {unit.Aperture}; unmap it first");
        }

        foreach (IovaRange reserved in group.Reserved.Where(_mappings.Touches))
        {
            throw new VfioException(Errno.EINVAL, what, $"a mapping overlaps its reserved range {reserved}; unmap it first");
        }

        List<IovaRange> ranges = Cut(_ranges, group);
        if (ranges.Count == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "no address would be left that all groups can use");
        }

        if (!unit.IsolatedMsi && !_host.Options.AllowUnsafeInterrupts)
        {
            throw new VfioException(Errno.EPERM, what, $"{group.Unit} does not isolate interrupt messages; allow unsafe interrupts if you trust the user");
        }

        Type1Domain domain = _domains.Find(d => d.Unit == group.Unit) ?? NewDomain(group.Unit);
        domain.Groups.Add(group);
        group.Attach(domain.Domain);
        _ranges = ranges;
        UpdatePageSizes();
    }

    public override void DetachGroup(IommuGroup group)
    {
        Type1Domain domain = _domains.Find(d => d.Groups.Contains(group))
            ?? throw new InvalidOperationException($"{group} is not in this container");
        group.Detach();
        domain.Groups.Remove(group);
        if (domain.Groups.Count == 0)
        {
            _domains.Remove(domain);
            domain.Domain.Dispose();
        }

        if (_domains.Count == 0)
        {
            RemoveAll();
        }

        IReadOnlyList<IovaRange> ranges = [IovaRange.All];
        foreach (IommuGroup left in _domains.SelectMany(d => d.Groups))
        {
            ranges = Cut(ranges, left);
        }

        _ranges = ranges;
        UpdatePageSizes();
    }

    public override void Release() => RemoveAll();

    public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        CheckMap(iova, size, access, memory, memoryOffset);
        var mapping = new Type1Mapping { Iova = iova, Size = size, Access = access, Memory = memory, MemoryOffset = memoryOffset };
        int done = 0;
        try
        {
            for (; done < _domains.Count; done++)
            {
                _domains[done].Domain.Map(iova, size, access, memory, memoryOffset);
            }
        }
        catch
        {
            while (done-- > 0)
            {
                _domains[done].Domain.Unmap(mapping.Range);
            }

            throw;
        }

        memory.Hold();
        _mappings.Add(mapping);
    }

    public override ulong Unmap(ulong iova, ulong size, bool all)
    {
        IovaRange range = CheckUnmap(iova, size, all);
        if (_v2 && !all)
        {
            if ((_mappings.At(range.First) is { } first && first.Iova != range.First)
                || (_mappings.At(range.Last) is { } last && last.Last != range.Last))
            {
                throw new VfioException(Errno.EINVAL, Unmapping(iova, size), "it would cut a mapping; unmap whole mappings");
            }
        }
        else if (!_v2 && !all && _mappings.At(range.First) is { } below && below.Iova < range.First)
        {
            // The first form of the interface ends silently at a mapping that starts below.
            return 0;
        }

        List<Type1Mapping> leaving = _mappings.StartingIn(range);
        if (leaving.Count == 0)
        {
            return 0;
        }

        // The first form takes a mapping that only starts inside as a whole.
        if (_domains.Exists(d => d.Domain.IsEnteredByCaller))
        {
            throw new VfioException(Errno.EDEADLK, Unmapping(iova, size), "the calling thread is inside a scope of the address space; leave it first");
        }

        var whole = new IovaRange(leaving[0].Iova, leaving[^1].Last);
        foreach (Type1Domain domain in _domains)
        {
            domain.Domain.Unmap(whole);
        }

        ulong removed = 0;
        foreach (Type1Mapping mapping in leaving)
        {
            removed += mapping.Size;
            _mappings.Remove(mapping);
            mapping.Memory!.Release();
        }

        return removed;
    }

    private static string Mapping(ulong iova, ulong size) => $"MAP_DMA [0x{iova:x}, +0x{size:x})";

    private static string Unmapping(ulong iova, ulong size) => $"UNMAP_DMA [0x{iova:x}, +0x{size:x})";

    private static ulong SizesFromCpuPage(ulong sizes)
    {
        // Smaller pages are hidden; the CPU's page is then offered instead.
        ulong large = sizes & ~(CpuPage - 1);
        return (sizes & (CpuPage - 1)) != 0 ? large | CpuPage : large;
    }

    private static List<IovaRange> Cut(IReadOnlyList<IovaRange> ranges, IommuGroup group)
    {
        IovaRange aperture = group.Unit.Options.Aperture;
        var cut = new List<IovaRange>();
        foreach (IovaRange range in ranges.Where(r => r.Overlaps(aperture)))
        {
            cut.Add(new IovaRange(Math.Max(range.First, aperture.First), Math.Min(range.Last, aperture.Last)));
        }

        foreach (IovaRange hole in group.Reserved)
        {
            for (int i = cut.Count - 1; i >= 0; i--)
            {
                IovaRange range = cut[i];
                if (!range.Overlaps(hole))
                {
                    continue;
                }

                cut.RemoveAt(i);
                if (range.Last > hole.Last)
                {
                    cut.Insert(i, new IovaRange(hole.Last + 1, range.Last));
                }

                if (range.First < hole.First)
                {
                    cut.Insert(i, new IovaRange(range.First, hole.First - 1));
                }
            }
        }

        return cut;
    }

    private void CheckMap(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        if ((access & ~DmaAccess.ReadWrite) != 0)
        {
            throw new VfioException(Errno.EINVAL, Mapping(iova, size), $"unknown access bits {access}");
        }

        if (size == 0)
        {
            throw new VfioException(Errno.EINVAL, Mapping(iova, size), "the size is 0");
        }

        if (iova + (size - 1) < iova || memoryOffset + (size - 1) < memoryOffset)
        {
            throw new VfioException(Errno.EOVERFLOW, Mapping(iova, size), $"it, or its offset 0x{memoryOffset:x} in the memory, ends past 2^64");
        }

        if (access == DmaAccess.None)
        {
            throw new VfioException(Errno.EINVAL, Mapping(iova, size), "it grants neither read nor write");
        }

        if (((size | iova | memoryOffset) & Mask) != 0)
        {
            throw new VfioException(Errno.EINVAL, Mapping(iova, size), $"address, size and memory offset 0x{memoryOffset:x} must be multiples of 0x{Mask + 1:x}");
        }

        var range = new IovaRange(iova, iova + (size - 1));
        if (_mappings.Touches(range))
        {
            throw new VfioException(Errno.EEXIST, Mapping(iova, size), "something in the range is mapped already");
        }

        if (AvailableMappings <= 0)
        {
            throw new VfioException(Errno.ENOSPC, Mapping(iova, size), $"the container holds {_limit} mappings, its limit");
        }

        bool allowed = false;
        foreach (IovaRange r in _ranges)
        {
            allowed |= r.Contains(range);
        }

        if (!allowed)
        {
            throw new VfioException(Errno.EINVAL, Mapping(iova, size), $"it is not inside one of the ranges {string.Join(", ", _ranges)}");
        }

        if (memoryOffset > memory.Length || size > memory.Length - memoryOffset)
        {
            throw new VfioException(Errno.EFAULT, Mapping(iova, size), $"offset 0x{memoryOffset:x} leads past the memory's 0x{memory.Length:x} bytes");
        }

        if ((access & ~memory.Allowed) != 0)
        {
            throw new VfioException(Errno.EFAULT, Mapping(iova, size), $"the memory allows {memory.Allowed} only");
        }
    }

    private IovaRange CheckUnmap(ulong iova, ulong size, bool all)
    {
        if ((iova & Mask) != 0)
        {
            throw new VfioException(Errno.EINVAL, Unmapping(iova, size), $"the address must be a multiple of 0x{Mask + 1:x}");
        }

        if (all)
        {
            return iova == 0 && size == 0
                ? IovaRange.All
                : throw new VfioException(Errno.EINVAL, Unmapping(iova, size), "with ALL, address and size must be 0");
        }

        if (size == 0 || (size & Mask) != 0)
        {
            throw new VfioException(Errno.EINVAL, Unmapping(iova, size), $"the size must be a multiple of 0x{Mask + 1:x} and not 0");
        }

        ulong last = iova + (size - 1);
        return last >= iova
            ? new IovaRange(iova, last)
            : throw new VfioException(Errno.EOVERFLOW, Unmapping(iova, size), "it ends past the address space");
    }

    private Type1Domain NewDomain(IommuUnit unit)
    {
        IommuDomain domain = unit.CreateDomain();
        try
        {
            foreach (Type1Mapping mapping in _mappings.All)
            {
                domain.Map(mapping.Iova, mapping.Size, mapping.Access, mapping.Memory!, mapping.MemoryOffset);
            }
        }
        catch
        {
            domain.Dispose();
            throw;
        }

        var added = new Type1Domain { Unit = unit, Domain = domain };
        _domains.Add(added);
        return added;
    }

    private void UpdatePageSizes()
    {
        ulong sizes = ulong.MaxValue;
        foreach (Type1Domain domain in _domains)
        {
            sizes &= domain.Domain.PageSizes;
        }

        _pageSizes = SizesFromCpuPage(sizes);
    }

    private void RemoveAll()
    {
        foreach (Type1Mapping mapping in _mappings.All)
        {
            mapping.Memory!.Release();
        }

        _mappings.Clear();
    }
}
