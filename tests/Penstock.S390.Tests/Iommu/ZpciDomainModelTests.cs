using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

/// <summary>Random maps and unmaps against a dictionary of pages and a list of mappings.</summary>
public sealed class ZpciDomainModelTests
{
    private const ulong Page = DomainRig.Page;
    private const int Pages = 96;

    [Theory]
    [InlineData(ZpciDesignationType.RegionThird, 1)]
    [InlineData(ZpciDesignationType.RegionSecond, 2)]
    [InlineData(ZpciDesignationType.RegionFirst, 3)]
    public void RandomCalls_AnyTables_AsTheModelSays(ZpciDesignationType type, int seed)
    {
        using var rig = new DomainRig(
            new FakeHostFunction(first: 0, last: ulong.MaxValue), new ZpciIommuOptions { ApertureFactor = 0, Type = type }, Pages * Page);
        var model = new Model();
        var random = new Random(seed);

        // Addresses on both sides of every kind of border, and at the end of what the tables reach.
        ulong last = rig.Domain.Aperture.Last;
        ulong[] places = [0, (1ul << 20) - (8 * Page), (1ul << 31) - (8 * Page), (1ul << 41) - (8 * Page), last - (64 * Page) + 1];
        for (int step = 0; step < 6000; step++)
        {
            ulong iova = places[random.Next(places.Length)] + ((ulong)random.Next(24) * Page);
            ulong count = (ulong)random.Next(1, 12);
            if (random.Next(3) != 0)
            {
                ulong first = (ulong)random.Next(Pages - 12);
                var access = (DmaAccess)random.Next(1, 4);
                Assert.Equal(model.Map(iova, count, first, access, last), rig.TryMap(iova, count, first, access));
            }
            else if (random.Next(4) == 0)
            {
                ulong to = iova + ((ulong)random.Next(1, 64) * Page) - 1;
                (Errno errno, ulong removed) = model.Unmap(iova, to);
                ulong done = 0;
                Assert.Equal(errno, ErrnoOf(() => done = rig.Domain.Unmap(new IovaRange(iova, to))));
                Assert.Equal(removed, done);
            }
            else if (model.Any(random) is var (start, size))
            {
                Assert.Equal(size, rig.Domain.Unmap(new IovaRange(start, start + (size - 1))));
                model.Unmap(start, start + (size - 1));
            }

            Assert.Equal(model.Mappings.Count, rig.Domain.Count);
            Look(rig, model, iova);
        }

        foreach (ulong place in places)
        {
            for (ulong i = 0; i < 40 && place + (i * Page) >= place && place + (i * Page) <= last; i++)
            {
                Look(rig, model, place + (i * Page));
            }
        }

        Assert.Equal((ulong)model.Pages.Count * Page, rig.Domain.Unmap(IovaRange.All));
        Assert.Equal(0, rig.Domain.Count);
        Assert.Equal(rig.Domain.Counters.MappedPages, rig.Domain.Counters.UnmappedPages);
    }

    private static void Look(DomainRig rig, Model model, ulong iova)
    {
        ulong entry = rig.Domain.Entry(iova);

        // What anybody finds who walks the tables by the architecture's rules; their addresses are this process's.
        IoWalk walk = IoTableWalk.Walk(new FlatTableReader(0, ulong.MaxValue), new Iota(rig.Domain.Iota), iova);
        Assert.Equal(iova > rig.Domain.Aperture.Last ? ZpciErrorEvent.AddressOutOfRange : ZpciErrorEvent.None, walk.Fault);
        Assert.Equal(!DomainRig.IsInvalid(entry), walk.IsValid);
        Assert.Equal(walk.IsValid ? entry & ~0xffful : 0, walk.Address);
        Assert.Equal(walk.IsValid && (entry & ZpciIoTable.Protected) == 0, walk.CanWrite);
        Assert.Equal(!model.Pages.TryGetValue(iova, out (ulong Page, DmaAccess Access) expected), DomainRig.IsInvalid(entry));
        if (!DomainRig.IsInvalid(entry))
        {
            Assert.Same(rig.Memory, rig.Domain.MemoryAt(entry & ~0xffful, out ulong offset));
            Assert.Equal(expected.Page * Page, offset);
            Assert.Equal((expected.Access & DmaAccess.Write) == 0 ? 0x200ul : 0, entry & 0xfff);
        }
    }

    private sealed class Model
    {
        public Dictionary<ulong, (ulong Page, DmaAccess Access)> Pages { get; } = [];

        public SortedDictionary<ulong, ulong> Mappings { get; } = [];

        public Errno Map(ulong iova, ulong count, ulong first, DmaAccess access, ulong last)
        {
            ulong end = iova + ((count * Page) - 1);
            if (end < iova)
            {
                return Errno.EOVERFLOW;
            }

            if (end > last)
            {
                return Errno.EINVAL;
            }

            for (ulong i = 0; i < count; i++)
            {
                if (Pages.ContainsKey(iova + (i * Page)))
                {
                    return Errno.EEXIST;
                }
            }

            for (ulong i = 0; i < count; i++)
            {
                Pages[iova + (i * Page)] = (first + i, access);
            }

            Mappings[iova] = count * Page;
            return Errno.None;
        }

        public (Errno Errno, ulong Removed) Unmap(ulong first, ulong last)
        {
            if (last < first)
            {
                return (Errno.EINVAL, 0);
            }

            var touched = Mappings.Where(m => m.Key <= last && m.Key + (m.Value - 1) >= first).ToList();
            if (touched.Any(m => m.Key < first || m.Key + (m.Value - 1) > last))
            {
                return (Errno.EINVAL, 0);
            }

            ulong removed = 0;
            foreach ((ulong iova, ulong size) in touched)
            {
                Mappings.Remove(iova);
                removed += size;
                for (ulong at = 0; at < size; at += Page)
                {
                    Pages.Remove(iova + at);
                }
            }

            return (Errno.None, removed);
        }

        public (ulong Start, ulong Size)? Any(Random random) =>
            Mappings.Count == 0 ? null : Mappings.ElementAt(random.Next(Mappings.Count)) is var found ? (found.Key, found.Value) : null;
    }
}
