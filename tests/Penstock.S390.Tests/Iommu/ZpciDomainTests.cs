using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

public sealed class ZpciDomainTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;

    [Theory]
    [InlineData(ZpciDesignationType.RegionThird, 0x804ul)]
    [InlineData(ZpciDesignationType.RegionSecond, 0x808ul)]
    [InlineData(ZpciDesignationType.RegionFirst, 0x80cul)]
    public unsafe void Map_OnePage_TablesOfTheArchitectureLeadToIt(ZpciDesignationType type, ulong flags)
    {
        using var rig = new DomainRig(options: new ZpciIommuOptions { ApertureFactor = 0, Type = type });
        ulong iova = Start + 0x12_3000;
        rig.Map(iova, 1, firstPage: 5, DmaAccess.Read);
        Assert.Equal(flags, rig.Domain.Iota & 0x3fff);

        // SAFETY: tables of the rig's domain, which stay while it is there.
        ulong* table = (ulong*)(rig.Domain.Iota & ZpciIota.OriginMask);
        for (int level = (int)type; level >= 0; level--)
        {
            ulong entry = HostIoTables.FromTable(table[(iova >> (20 + (11 * level))) & 0x7ff]);
            Assert.Equal(level == 0 ? 0 : ((ulong)level << 2) | 3, entry & 0x7ff);
            Assert.Equal(0x20ul, HostIoTables.FromTable(table[((iova >> (20 + (11 * level))) & 0x7ff) ^ 0x400]));
            table = (ulong*)(entry & ~0x7fful);
        }

        ulong page = HostIoTables.FromTable(table[0x23]);
        Assert.Equal(0x200ul, page & 0xfff);
        Assert.NotEqual(0ul, page & ~0xffful);
        Assert.Equal(0x400ul, HostIoTables.FromTable(table[0x24]));
        Assert.Same(rig.Memory, rig.Domain.MemoryAt(page & ~0xffful, out ulong offset));
        Assert.Equal(5 * Page, offset);
    }

    [Fact]
    public void ReadWrite_MappedPages_ReachTheMemory()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 3, firstPage: 1);
        rig.Map(Start + (3 * Page), 1, firstPage: 10, DmaAccess.Read);
        byte[] data = new byte[3 * (int)Page];
        Random.Shared.NextBytes(data);
        Assert.Equal(Errno.None, rig.Domain.Write(Start, data));
        Assert.Equal(data, rig.Memory.Span(Page, data.Length).ToArray());
        rig.Memory.Span(10 * Page, 4).Fill(7);
        byte[] read = new byte[Page + 4];
        Assert.Equal(Errno.None, rig.Domain.Read(Start + (2 * Page), read));
        Assert.Equal([7, 7, 7, 7], read[(int)Page..]);
        Assert.Equal(Errno.EPERM, rig.Domain.Write(Start + (3 * Page), [1]));
        Assert.Equal(Errno.EFAULT, rig.Domain.Read(Start + (4 * Page), [1]));
        Assert.Equal(Errno.EFAULT, rig.Domain.Read(1ul << 42, [1]));
    }

    [Fact]
    public void Borrow_PagesThatFollowEachOther_OneRunOfThem()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 32);
        rig.Map(Start + (32 * Page), 1, firstPage: 40);
        using DmaScope scope = rig.Domain.Enter();
        Assert.True(scope.TryBorrow(Start + 100, ulong.MaxValue, DmaAccess.Write, out DmaRun run));
        Assert.Equal((16 * Page) - 100, run.Length);
        Assert.True(scope.TryBorrow(Start + (30 * Page), ulong.MaxValue, DmaAccess.Write, out run));
        Assert.Equal(2 * Page, run.Length);
        Assert.False(scope.TryBorrow(Start + (33 * Page), 1, DmaAccess.Read, out _));
    }

    [Fact]
    public void Borrow_LastPageOfAPageTable_EndsThere()
    {
        using var rig = new DomainRig();
        rig.Map(Start + (255 * Page), 4);
        using DmaScope scope = rig.Domain.Enter();
        Assert.True(scope.TryBorrow(Start + (255 * Page), ulong.MaxValue, DmaAccess.Read, out DmaRun run));
        Assert.Equal(Page, run.Length);
    }

    [Theory]
    [InlineData(Start + 1, Page, 0ul, DmaAccess.Read, Errno.EINVAL)]
    [InlineData(Start, Page + 1, 0ul, DmaAccess.Read, Errno.EINVAL)]
    [InlineData(Start, Page, 1ul, DmaAccess.Read, Errno.EINVAL)]
    [InlineData(Start, 0ul, 0ul, DmaAccess.Read, Errno.EINVAL)]
    [InlineData(Start, Page, 0ul, DmaAccess.None, Errno.EINVAL)]
    [InlineData((1ul << 42) - Page, 2 * Page, 0ul, DmaAccess.Read, Errno.EINVAL)]
    [InlineData(1ul << 42, Page, 0ul, DmaAccess.Read, Errno.EINVAL)]
    [InlineData(0xffff_ffff_ffff_f000, 2 * Page, 0ul, DmaAccess.Read, Errno.EOVERFLOW)]
    [InlineData(Start, Page, 64 * Page, DmaAccess.Read, Errno.EFAULT)]
    [InlineData(Start, 65 * Page, 0ul, DmaAccess.Read, Errno.EFAULT)]
    public void Map_WhatTheArchitectureCannot_IsRefused(ulong iova, ulong size, ulong offset, DmaAccess access, Errno expected)
    {
        using var rig = new DomainRig();
        Assert.Equal(expected, ErrnoOf(() => rig.Domain.Map(iova, size, access, rig.Memory, offset)));
        Assert.Equal(0, rig.Domain.Count);
    }

    [Fact]
    public void Map_WriteOnly_CanBeReadToo()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 1, access: DmaAccess.Write);
        Assert.Equal(0ul, rig.Domain.Entry(Start) & ZpciIoTable.Protected);
        Assert.Equal(Errno.None, rig.Domain.Read(Start, new byte[1]));
    }

    [Fact]
    public void Map_OverAMapping_EEXISTAndNothingOfItStays()
    {
        using var rig = new DomainRig();
        rig.Map(Start + (4 * Page), 1, firstPage: 9);
        Assert.Equal(Errno.EEXIST, rig.TryMap(Start, 8));
        for (ulong i = 0; i < 8; i++)
        {
            Assert.Equal(i != 4, DomainRig.IsInvalid(rig.Domain.Entry(Start + (i * Page))));
        }

        Assert.Equal(1, rig.Domain.Count);
        Assert.Equal(1, rig.Domain.Counters.MappedPages);
    }

    [Theory]
    [InlineData(1ul, 2ul)]
    [InlineData(0ul, 3ul)]
    [InlineData(3ul, 2ul)]
    public void Unmap_EdgeCutsAMapping_EINVALAndNothingGoes(ulong first, ulong pages)
    {
        using var rig = new DomainRig();
        rig.Map(Start, 4);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => rig.Unmap(Start + (first * Page), pages)));
        Assert.Equal(1, rig.Domain.Count);
        Assert.Equal(4 * Page, rig.Unmap(Start, 4));
    }

    [Fact]
    public void Unmap_WholeApertureWithHoles_NeedsNoTables()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 2);
        rig.Map(Start + (5ul << 31), 3, firstPage: 4);
        ulong before = rig.Domain.TableBytes;
        Assert.Equal(5 * Page, rig.Domain.Unmap(IovaRange.All));
        Assert.Equal(0ul, rig.Domain.Unmap(IovaRange.All));
        Assert.Equal(before, rig.Domain.TableBytes);
        Assert.Equal((5L, 5L), (rig.Domain.Counters.MappedPages, rig.Domain.Counters.UnmappedPages));
        Assert.Equal((Start, (5ul << 31) + (3 * Page)), Assert.Single(rig.Function.Refreshes));
    }

    [Fact]
    public void Map_NoMemoryForAnyTable_ENOMEMAndExactlyNothingStays()
    {
        // Two segments in two regions: a segment table and a page table for each.
        ulong iova = Start + (1ul << 31) - Page;
        ulong needed = 0;
        for (ulong limit = ZpciIoTable.TableSize; ; limit += 1024)
        {
            using var rig = new DomainRig(options: new ZpciIommuOptions { ApertureFactor = 0, TableMemory = limit });
            Errno errno = rig.TryMap(iova, 2);
            if (errno == Errno.None)
            {
                needed = rig.Domain.TableBytes;
                Assert.Equal(limit, needed);
                break;
            }

            Assert.Equal(Errno.ENOMEM, errno);
            Assert.True(DomainRig.IsInvalid(rig.Domain.Entry(iova)));
            Assert.True(DomainRig.IsInvalid(rig.Domain.Entry(iova + Page)));
            Assert.Equal(0, rig.Domain.Count);
            Assert.Equal(0L, rig.Domain.Counters.MappedPages);
            Assert.True(rig.Domain.TableBytes <= limit);
            Assert.Equal(0ul, rig.Unmap(iova, 2));
        }

        Assert.Equal((ulong)((3 * ZpciIoTable.TableSize) + (2 * ZpciIoTable.PageTableSize)), needed);
    }

    [Fact]
    public void Map_MoreThanItsTablesCanHave_ENOMEMAtOnce()
    {
        using var rig = new DomainRig(options: new ZpciIommuOptions { ApertureFactor = 0, TableMemory = 1 << 20 });
        var huge = ProcessMemory.Over(1 << 20, 1ul << 40);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => rig.Domain.Map(Start, 1ul << 40, DmaAccess.Read, huge, 0)));
        Assert.True(rig.Domain.TableBytes < 1 << 20);
        huge.Release();
    }

    [Fact]
    public void Replace_AMapping_LeadsToTheNewMemory()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 2, firstPage: 1, DmaAccess.Read);
        rig.Map(Start + (2 * Page), 1, firstPage: 3);
        rig.Memory.Span(20 * Page, 1)[0] = 9;
        rig.Domain.Replace(Start, rig.Memory, 20 * Page);
        byte[] read = new byte[1];
        Assert.Equal(Errno.None, rig.Domain.Read(Start, read));
        Assert.Equal(9, read[0]);
        Assert.Equal(Errno.EPERM, rig.Domain.Write(Start, read));
        Assert.Equal(Errno.None, rig.Domain.Write(Start + (2 * Page), read));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => rig.Domain.Replace(Start + Page, rig.Memory, 0)));
        Assert.Equal(2, rig.Domain.Count);
        Assert.Equal(3 * Page, rig.Unmap(Start, 3));
    }

    [Fact]
    public void Translation_AllocatesNothing()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 64);
        byte[] data = new byte[64];
        int failed = 0;
        Assert.Equal(0, AllocatedBytes.In(1000, i =>
        {
            failed += rig.Domain.Read(Start + ((ulong)(i % 64) * Page), data) == Errno.None ? 0 : 1;
            failed += rig.Domain.Write(Start + ((ulong)(i % 63) * Page) + 4090, data) == Errno.None ? 0 : 1;
            using DmaScope scope = rig.Domain.Enter();
            scope.TryBorrow(Start, 1 << 20, DmaAccess.Write, out _);
        }));
        Assert.Equal(0, failed);
    }

    [Fact]
    public void Change_FromInsideAScope_EDEADLK()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 1);
        using DmaScope scope = rig.Domain.Enter();
        Assert.Equal(Errno.EDEADLK, rig.TryMap(Start + Page, 1));
        Assert.Equal(Errno.EDEADLK, ErrnoOf(() => rig.Unmap(Start, 1)));
    }
}
