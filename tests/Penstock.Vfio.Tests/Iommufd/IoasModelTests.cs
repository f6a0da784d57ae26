using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>An address space against a dictionary of pages, under random operations.</summary>
public sealed class IoasModelTests
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Base = 1ul << 30;
    private const int Window = 48;

    private readonly Dictionary<int, int> _pages = [];
    private readonly List<(int First, int Count)> _areas = [];

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    [InlineData(4, false)]
    public void RandomOperations_AgainstTheModel_Equal(int seed, bool hugePages)
    {
        var random = new Random(seed);
        using var rig = new IommufdRig();
        Ioas ioas = rig.Context.AllocateIoas();
        ioas.HugePages = hugePages;
        using VfioCdevFile file = rig.Bind();
        bool attached = false;
        for (int i = 0; i < IommufdRig.BufferPages; i++)
        {
            rig.Memory.Span(IommufdRig.Buffer + ((ulong)i * Page), 1)[0] = (byte)(i + 1);
        }

        for (int step = 0; step < 600; step++)
        {
            int first = random.Next(Window);
            int count = random.Next(1, Math.Min(8, Window - first) + 1);
            switch (random.Next(6))
            {
                case 0 or 1:
                    int source = random.Next(IommufdRig.BufferPages - count);
                    Expect(IsFree(first, count) ? Errno.None : Errno.EEXIST, () => ioas.MapAddress(Address(source), (ulong)count * Page, DmaAccess.ReadWrite, Iova(first)));
                    Set(first, count, n => source + n);
                    break;
                case 2:
                    int from = random.Next(Window - count);
                    Errno errno = !Covered(from, count) ? Errno.ENOENT : IsFree(first, count) ? Errno.None : Errno.EEXIST;
                    Expect(errno, () => ioas.Copy(ioas, Iova(from), (ulong)count * Page, DmaAccess.ReadWrite, Iova(first)));
                    if (errno == Errno.None)
                    {
                        Copy(from, first, count);
                    }

                    break;
                case 3 or 4:
                    Unmap(ioas, first, count);
                    break;
                default:
                    attached = !attached;
                    if (attached)
                    {
                        file.Attach(ioas.Id);
                    }
                    else
                    {
                        file.Detach();
                    }

                    break;
            }

            Compare(rig, attached);
        }
    }

    [Fact]
    public void MemoryCannotBeHad_AtEveryPointInTurn_CleanErrorAndSecondTryWorks()
    {
        for (int budget = 0; budget < 5; budget++)
        {
            using var rig = new IommufdRig();
            Ioas ioas = rig.Context.AllocateIoas();
            using VfioCdevFile file = rig.Bind();
            for (ulong i = 0; i < 5; i++)
            {
                ioas.MapAddress(IommufdRig.Buffer + (i * Page), Page, DmaAccess.ReadWrite, Base + (i * Page));
            }

            rig.Memory.Budget = budget;
            Assert.Equal(Errno.EFAULT, ErrnoOf(() => file.Attach(ioas.Id)));
            Assert.Equal(0ul, rig.Context.PinnedPages);
            Assert.Empty(ioas.Tables);
            rig.Memory.Budget = int.MaxValue;
            file.Attach(ioas.Id);
            Assert.Equal(5ul, rig.Context.PinnedPages);
            Assert.Equal(Errno.None, rig.Rig.Port.Write(Base, new byte[5 * (int)Page]));
        }
    }

    private static ulong Iova(int page) => Base + ((ulong)page * Page);

    private static ulong Address(int page) => IommufdRig.Buffer + ((ulong)page * Page);

    private static void Expect(Errno expected, Action call) => Assert.Equal(expected, ErrnoOf(call));

    private bool IsFree(int first, int count) => !Enumerable.Range(first, count).Any(_pages.ContainsKey);

    private bool Covered(int first, int count) => Enumerable.Range(first, count).All(_pages.ContainsKey);

    private void Set(int first, int count, Func<int, int> page)
    {
        if (IsFree(first, count))
        {
            for (int n = 0; n < count; n++)
            {
                _pages.Add(first + n, page(n));
            }

            _areas.Add((first, count));
        }
    }

    private void Copy(int from, int first, int count)
    {
        foreach ((int areaFirst, int areaCount) in _areas.ToArray())
        {
            int start = Math.Max(areaFirst, from);
            int end = Math.Min(areaFirst + areaCount, from + count);
            if (start < end)
            {
                Set(first + (start - from), end - start, n => _pages[start + n]);
            }
        }
    }

    private void Unmap(Ioas ioas, int first, int count)
    {
        int removed = 0;
        bool cut = false;
        foreach ((int areaFirst, int areaCount) in _areas.Order().ToArray())
        {
            if (areaFirst + areaCount <= first || areaFirst >= first + count || cut)
            {
                continue;
            }

            cut = areaFirst < first || areaFirst + areaCount > first + count;
            if (!cut)
            {
                removed += areaCount;
                _areas.Remove((areaFirst, areaCount));
                Enumerable.Range(areaFirst, areaCount).ToList().ForEach(p => _pages.Remove(p));
            }
        }

        if (cut || removed == 0)
        {
            Expect(Errno.ENOENT, () => ioas.Unmap(Iova(first), (ulong)count * Page));
        }
        else
        {
            Assert.Equal((ulong)removed * Page, ioas.Unmap(Iova(first), (ulong)count * Page));
        }
    }

    private void Compare(IommufdRig rig, bool attached)
    {
        Span<byte> seen = stackalloc byte[1];
        for (int page = 0; page < Window; page++)
        {
            Errno errno = rig.Rig.Port.Read(Iova(page), seen);
            if (attached && _pages.TryGetValue(page, out int source))
            {
                Assert.Equal((Errno.None, (byte)(source + 1)), (errno, seen[0]));
            }
            else
            {
                Assert.Equal(Errno.EFAULT, errno);
            }
        }

        // Different maps of the same user page are different pages to the books; copies are not.
        Assert.True(attached ? rig.Context.PinnedPages <= (ulong)_pages.Count : rig.Context.PinnedPages == 0);
        Assert.Equal(rig.Context.PinnedPages * Page, rig.Context.LockedBytes);
    }
}
