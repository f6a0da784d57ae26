using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>Random maps, unmaps and translations, compared with a list that is searched from end to end.</summary>
public sealed class SoftwareDomainModelTests
{
    private const ulong Page = 4096;

    public static TheoryData<int, ulong> Cases
    {
        get
        {
            var cases = new TheoryData<int, ulong>();
            foreach (ulong origin in new[] { 0ul, (1ul << 63) - (512 * Page), ulong.MaxValue - (1024 * Page) + 1 })
            {
                for (int seed = 1; seed <= 8; seed++)
                {
                    cases.Add(seed, origin);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public unsafe void RandomOperations_BehaveAsTheNaiveModel(int seed, ulong origin)
    {
        var random = new Random(seed);
        var model = new List<(ulong First, ulong Last, DmaAccess Access, ulong Offset)>();
        var ledger = new ResourceLedger();
        ProcessMemory memory = ProcessMemory.Allocate(1024 * Page, ledger);
        using (var domain = new SoftwareDomain(IovaRange.All, ~0xffful, ledger))
        {
            for (int step = 0; step < 4000; step++)
            {
                // 1024 pages from the origin on; the last of the third origin is the last page there is.
                ulong page = (ulong)random.Next(1024);
                ulong pages = Math.Min(1 + (ulong)random.Next(random.Next(4) == 0 ? 64 : 3), 1024 - page);
                ulong first = origin + (page * Page);
                ulong last = first + ((pages * Page) - 1);
                string context = $"seed {seed}, step {step}, [0x{first:x}, 0x{last:x}]";
                switch (random.Next(8))
                {
                    case < 4:
                        var access = (DmaAccess)random.Next(1, 4);
                        ulong offset = (ulong)random.Next(1024 - (int)pages + 1) * Page;
                        bool overlaps = model.Exists(m => m.First <= last && first <= m.Last);
                        Assert.True(overlaps == Fails(Errno.EEXIST, () => domain.Map(first, pages * Page, access, memory, offset)), context);
                        if (!overlaps)
                        {
                            model.Add((first, last, access, offset));
                        }

                        break;
                    case 4:
                        bool cuts = model.Exists(m => (m.First < first && first <= m.Last) || (m.First <= last && last < m.Last));
                        ulong removed = 0;
                        Assert.True(cuts == Fails(Errno.EINVAL, () => removed = domain.Unmap(new IovaRange(first, last))), context);
                        if (!cuts)
                        {
                            ulong expected = 0;
                            model.FindAll(m => m.First >= first && m.Last <= last).ForEach(m => expected += m.Last - m.First + 1);
                            model.RemoveAll(m => m.First >= first && m.Last <= last);
                            Assert.True(expected == removed, context);
                        }

                        break;
                    default:
                        ulong iova = first + (ulong)random.Next((int)Page);
                        var wanted = (DmaAccess)random.Next(1, 4);
                        int hit = model.FindIndex(m => m.First <= iova && iova <= m.Last && (m.Access & wanted) == wanted);
                        using (DmaScope scope = domain.Enter())
                        {
                            Assert.True((hit >= 0) == scope.TryBorrow(iova, 10 * Page, wanted, out DmaRun run), context);
                            if (hit >= 0)
                            {
                                Assert.True((nint)run.Pointer == memory.DirectAddress + (nint)(model[hit].Offset + (iova - model[hit].First)), context);
                                Assert.True(run.Length == Math.Min(10 * Page, model[hit].Last - iova + 1), context);
                            }
                        }

                        break;
                }

                Assert.True(model.Count == domain.Count, context);
            }
        }

        memory.Release();
        Assert.Equal("nothing", ledger.ToString());
    }

    [Fact]
    public void ManyMappings_EveryOneIsFoundAndEveryHoleIsAHole()
    {
        const int Count = 20000;
        ProcessMemory memory = ProcessMemory.Allocate(Page);
        using var domain = new SoftwareDomain(IovaRange.All, ~0xffful);
        int[] order = [.. Enumerable.Range(0, Count)];
        new Random(7).Shuffle(order);
        foreach (int i in order)
        {
            domain.Map(Address(i), Page, DmaAccess.Read, memory, 0);
        }

        for (int i = 0; i < Count; i++)
        {
            using DmaScope scope = domain.Enter();
            Assert.True(scope.TryBorrow(Address(i), 1, DmaAccess.Read, out _));
            Assert.True(scope.TryBorrow(Address(i) + Page - 1, 1, DmaAccess.Read, out _));
            Assert.False(scope.TryBorrow(Address(i) + Page, 1, DmaAccess.Read, out _));
            Assert.False(scope.TryBorrow(Address(i) - 1, 1, DmaAccess.Read, out _));
        }

        Assert.Equal(Count * Page, domain.Unmap(IovaRange.All));
        Assert.Equal(0, domain.Count);
        memory.Release();

        // Half of them below 2^63 and half above.
        static ulong Address(int i) => (1ul << 63) + ((ulong)(i - (Count / 2)) * 3 * Page);
    }

    private static bool Fails(Errno errno, Action call)
    {
        try
        {
            call();
            return false;
        }
        catch (VfioException e) when (e.Errno == errno)
        {
            return true;
        }
    }
}
