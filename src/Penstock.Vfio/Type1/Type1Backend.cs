using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// The type1 backend: one set of mappings, put into one domain for each IOMMU unit among the attached groups. The first form removes
/// mappings that an unmap only touches; the second refuses to cut any. Emulated groups change nothing for addresses and accounts: with no
/// other group mappings are only written down. The DMA ports of their devices translate through a domain of their own.
/// </summary>
internal sealed partial class Type1Backend : IommuBackend
{
    private static readonly ulong CpuPage = LockedMemoryAccounts.PageSize;

    private readonly VfioHost _host;
    private readonly bool _v2;
    private readonly int _limit;
    private readonly Type1Mappings _mappings = new();
    private readonly List<Type1Domain> _domains = [];
    private readonly List<Type1Group> _emulated = [];
    private readonly List<VfioDevice> _devices = [];
    private TranslatingDomain? _emulatedDomain;
    private IovaRange[] _ranges = [];
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

    private ulong SmallestPage => 1ul << PageShift;

    private int PageShift => BitOperations.TrailingZeroCount(_pageSizes);

    private ulong Mask => SmallestPage - 1;

    private IEnumerable<Type1Group> Groups => _domains.SelectMany(static d => d.Groups).Concat(_emulated);

    public override bool Reports(VfioIommuType extension) => extension switch
    {
        VfioIommuType.Type1 or VfioIommuType.Type1V2 or VfioIommuType.UnmapAll => true,
        VfioIommuType.DmaCacheCoherent => _domains.TrueForAll(static d => d.Unit.Options.EnforcesCoherency),
        VfioIommuType.UpdateVaddr => _emulated.Count == 0,
        _ => false,
    };

    public override void AttachGroup(IommuGroup group)
    {
        string what = $"attaching {group}";
        if (_invalidVaddrs != 0)
        {
            throw new VfioException(Errno.EBUSY, what, $"the addresses of {_invalidVaddrs} mappings are taken away; give them new ones first");
        }

        if (Groups.Any(g => g.Group == group))
        {
            throw new VfioException(Errno.EINVAL, what, "it is in this container already");
        }

        if (group.IsEmulated)
        {
            AttachEmulated(group);
            return;
        }

        IovaRange[] ranges = CheckAttach(what, group);
        Type1Domain domain = _domains.Find(d => d.Unit == group.Unit) ?? NewDomain(group.Unit);
        try
        {
            group.Attach(domain.Domain);
        }
        catch
        {
            Abandon(domain);
            throw;
        }

        domain.Groups.Add(new Type1Group(group));
        _ranges = ranges;
        UpdatePageSizes();
    }

    public override void DetachGroup(IommuGroup group)
    {
        Type1Group found = Groups.FirstOrDefault(g => g.Group == group)
            ?? throw new InvalidOperationException($"{group} is not in this container");
        group.Detach();
        if (_emulated.Remove(found))
        {
            if (_emulated.Count == 0)
            {
                DropEmulatedDomain();
            }
        }
        else
        {
            DetachReal(found);
        }

        if (_domains.Count == 0 && _emulated.Count == 0)
        {
            RemoveAll();
        }
    }

    public override void Release() => RemoveAll();

    public override void DeviceOpened(VfioDevice device) => _devices.Add(device);

    public override void DeviceClosed(VfioDevice device)
    {
        _devices.Remove(device);
        DropPins(device);
    }

    private static ulong SizesFromCpuPage(ulong sizes)
    {
        // Smaller pages are hidden; the CPU's page is then offered instead.
        ulong large = sizes & ~(CpuPage - 1);
        return (sizes & (CpuPage - 1)) != 0 ? large | CpuPage : large;
    }

    private static IovaRange[] Cut(IReadOnlyList<IovaRange> ranges, IommuGroup group)
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

        return [.. cut];
    }

    private IovaRange[] CheckAttach(string what, IommuGroup group)
    {
        IommuUnitOptions unit = group.Unit.Options;
        IovaRange[] old = _ranges.Length == 0 ? [IovaRange.All] : _ranges;
        if (!old.Any(r => r.Overlaps(unit.Aperture)))
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

        IovaRange[] ranges = Cut(old, group);
        if (ranges.Length == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "no address would be left that all groups can use");
        }

        if (!unit.IsolatedMsi && !_host.Options.AllowUnsafeInterrupts)
        {
            throw new VfioException(Errno.EPERM, what, $"{group.Unit} does not isolate interrupt messages; allow unsafe interrupts if you trust the user");
        }

        CheckPageSizes(what, unit.PageSizes);
        return ranges;
    }

    /// <summary>Whether pages are left that all units know, and nothing is mapped that they cannot express.</summary>
    private void CheckPageSizes(string what, ulong sizes)
    {
        ulong common = _domains.Aggregate(sizes, static (left, d) => left & d.Domain.PageSizes);
        if (common == 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"its page sizes 0x{sizes:x} have nothing in common with the container's 0x{_pageSizes:x}");
        }

        ulong mask = (1ul << BitOperations.TrailingZeroCount(SizesFromCpuPage(common))) - 1;
        if (mask > Mask && _mappings.All.FirstOrDefault(m => ((m.Iova | m.Size | m.Address) & mask) != 0) is { } odd)
        {
            throw new VfioException(Errno.EINVAL, what, $"the mapping at {odd.Range} is not in pages of 0x{mask + 1:x} bytes; unmap it first");
        }
    }

    private void AttachEmulated(IommuGroup group)
    {
        if (_emulatedDomain is null)
        {
            TranslatingDomain domain = group.Unit.CreateDomain();
            try
            {
                foreach (Type1Mapping mapping in _mappings.All)
                {
                    MapEmulated(domain, mapping);
                }

                domain.SetDirtyTracking(_tracking);
            }
            catch
            {
                domain.Dispose();
                throw;
            }

            _emulatedDomain = domain;
        }

        _emulated.Add(new Type1Group(group));
        group.Attach(_emulatedDomain);
    }

    /// <summary>A domain of a unit that has none yet, with all mappings in it.</summary>
    private Type1Domain NewDomain(IommuUnit unit)
    {
        IommuDomain domain = unit.CreateDomain();
        var locked = new List<Type1Mapping>();
        try
        {
            foreach (Type1Mapping mapping in _mappings.All)
            {
                if (mapping is { IsUnresolved: true, IommuMapped: true })
                {
                    MapAsElsewhere(domain, mapping);
                    continue;
                }

                Resolve(mapping);
                if (!mapping.IommuMapped)
                {
                    mapping.IommuMapped = true;
                    locked.Add(mapping);
                    Charge(mapping);
                }

                domain.Map(mapping.Iova, mapping.Size, mapping.Access, mapping.Memory, mapping.MemoryOffset);
            }
        }
        catch
        {
            domain.Dispose();
            locked.ForEach(NoLongerMapped);
            throw;
        }

        var added = new Type1Domain { Unit = unit, Domain = domain };
        _domains.Add(added);
        return added;
    }

    /// <summary>Devices have the pages of a mapping, though nothing is at the address where its user looks for them.</summary>
    private void MapAsElsewhere(IommuDomain domain, Type1Mapping mapping)
    {
        HeldMemory held;
        using (DmaScope scope = ((TranslatingDomain)_domains[0].Domain).Enter())
        {
            Errno errno = scope.TryHold(mapping.Iova, mapping.Size, DmaAccess.None, out held);
            if (errno != Errno.None)
            {
                throw new VfioException(errno, $"mapping {mapping.Range}", "its memory is in no other domain");
            }
        }

        using (held)
        {
            domain.Map(mapping.Iova, mapping.Size, mapping.Access, held.Memory, held.Offset);
        }
    }

    private void DropEmulatedDomain()
    {
        if (_tracking)
        {
            foreach (Type1Mapping mapping in _mappings.All)
            {
                CollectEmulated(mapping);
            }
        }

        _emulatedDomain!.Dispose();
        _emulatedDomain = null;
    }

    /// <summary>Gives a domain up in which no group is left.</summary>
    private void Abandon(Type1Domain domain)
    {
        if (domain.Groups.Count != 0)
        {
            return;
        }

        _domains.Remove(domain);
        domain.Domain.Dispose();
        if (_domains.Count == 0)
        {
            foreach (Type1Mapping mapping in _mappings.All)
            {
                NoLongerMapped(mapping);
            }
        }
    }

    private void DetachReal(Type1Group group)
    {
        Type1Domain domain = _domains.Find(d => d.Groups.Contains(group))!;
        domain.Groups.Remove(group);
        Abandon(domain);

        IovaRange[] ranges = [IovaRange.All];
        foreach (Type1Group left in _domains.SelectMany(static d => d.Groups))
        {
            ranges = Cut(ranges, left.Group);
        }

        _ranges = ranges;
        UpdatePageSizes();
        if (_tracking && !group.HasPinnedScope)
        {
            // Nobody knows what its devices wrote.
            MarkEverything();
        }
    }

    private void UpdatePageSizes()
    {
        ulong sizes = ulong.MaxValue;
        foreach (Type1Domain domain in _domains)
        {
            sizes &= domain.Domain.PageSizes;
        }

        int shift = PageShift;
        _pageSizes = SizesFromCpuPage(sizes);
        if (_tracking && PageShift != shift)
        {
            // Bits of another size say nothing; all dirty is always true, also where a bitmap cannot be had.
            foreach (Type1Mapping mapping in _mappings.All)
            {
                RenewBitmap(mapping);
            }

            MarkEverything();
        }
    }

    private void RemoveAll()
    {
        foreach (Type1Mapping mapping in _mappings.All)
        {
            Forget(mapping);
        }

        _mappings.Clear();
        _invalidVaddrs = 0;
    }
}
