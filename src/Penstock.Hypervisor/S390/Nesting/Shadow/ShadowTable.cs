using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// What a shadow knows of each address: which guest page is pinned for it, and which of the guest's tables were. Tables of its own in native memory, in the shape
/// of a guest's region third table; what has been made stays until the end. For one thread at a time.
/// </summary>
internal sealed unsafe class ShadowTable : IDisposable
{
    /// <summary>Last address that it can hold.</summary>
    internal const ulong LastAddress = (1ul << ((int)ZpciTableLevel.RegionThird + ZpciIoTable.LevelBits)) - 1;

    /// <summary>A page of the guest is in the host's entry.</summary>
    internal const ulong Present = 1;

    /// <summary>It may be written.</summary>
    internal const ulong Writable = 2;

    private const int SegmentsInRegion = ZpciIoTable.TableEntries;

    // The host's own tables for as many addresses, which come with these.
    private const ulong HostRegionBytes = ZpciIoTable.TableSize;
    private const ulong HostLeafBytes = ZpciIoTable.PageTableSize;

    private readonly ResourceLedger _ledger;
    private readonly GuestPins _pins;
    private readonly int _limit;
    private Region** _regions;
    private int _leaves;
    private ulong _bytes;
    private long _charged;

    /// <summary>Creates an empty table.</summary>
    /// <param name="ledger">Where its memory is counted.</param>
    /// <param name="pins">Who charges for it, and for the host's tables that it brings about.</param>
    /// <param name="limit">Most leaf tables, of 1 MiB of addresses each: a guest with one page table in all places must not cost more.</param>
    internal ShadowTable(ResourceLedger ledger, GuestPins pins, int limit)
    {
        _ledger = ledger;
        _pins = pins;
        _limit = limit;
        _regions = (Region**)Allocate((nuint)(ZpciIoTable.TableEntries * sizeof(nint)));
    }

    public void Dispose()
    {
        if (_regions == null)
        {
            return;
        }

        for (int i = 0; i < ZpciIoTable.TableEntries; i++)
        {
            Region* region = _regions[i];
            if (region != null)
            {
                for (int j = 0; j < SegmentsInRegion; j++)
                {
                    Free(region->Leaf(j));
                }

                Free(region);
            }
        }

        Free(_regions);
        _regions = null;
        _pins.Uncharge(_charged);
    }

    /// <summary>What is known of the 2 GiB around an address; null while nothing is.</summary>
    internal Region* RegionAt(ulong iova) => _regions[(iova >> (int)ZpciTableLevel.RegionThird) & (ZpciIoTable.TableEntries - 1)];

    /// <summary>What is known of the 1 MiB around an address; null while nothing is.</summary>
    internal Leaf* LeafAt(ulong iova)
    {
        Region* region = RegionAt(iova);
        return region == null ? null : region->Leaf(Segment(iova));
    }

    /// <summary>
    /// Makes the leaf of an address that has none, and its region if need be. Between <see cref="GuestPins.Begin"/> and
    /// <see cref="GuestPins.End"/>.
    /// </summary>
    /// <returns>The leaf; null at the limit, or when whoever pays may not have so much.</returns>
    internal Leaf* MakeLeaf(ulong iova)
    {
        ref Region* region = ref _regions[(iova >> (int)ZpciTableLevel.RegionThird) & (ZpciIoTable.TableEntries - 1)];
        ulong more = (ulong)sizeof(Leaf) + HostLeafBytes + (region == null ? (ulong)sizeof(Region) + HostRegionBytes : 0);
        if (_leaves >= _limit || !TryCharge(more))
        {
            return null;
        }

        if (region == null)
        {
            region = (Region*)Allocate((nuint)sizeof(Region));
        }

        var leaf = (Leaf*)Allocate((nuint)sizeof(Leaf));
        region->SetLeaf(Segment(iova), leaf);
        _leaves++;
        return leaf;
    }

    private bool TryCharge(ulong bytes)
    {
        long pages = (long)((_bytes + bytes + LockedPages.LockedMemoryPage - 1) / LockedPages.LockedMemoryPage) - _charged;
        if (!_pins.TryCharge(pages))
        {
            return false;
        }

        _bytes += bytes;
        _charged += pages;
        return true;
    }

    private static int Segment(ulong iova) => (int)(iova >> (int)ZpciTableLevel.Segment) & (SegmentsInRegion - 1);

    // SAFETY: freed by Dispose, once, after the last use; indices into what is made here are masked.
    private void* Allocate(nuint size) => NativeBlock.Allocate<byte>(size, _ledger);

    private void Free(void* memory)
    {
        var block = (byte*)memory;
        NativeBlock.Free(ref block, _ledger);
    }

    /// <summary>2 GiB of addresses.</summary>
    internal struct Region
    {
        /// <summary>The guest's segment table.</summary>
        internal TablePins Table;

        private fixed long _leaves[SegmentsInRegion];

        internal Leaf* Leaf(int segment) => (Leaf*)_leaves[segment];

        internal void SetLeaf(int segment, Leaf* leaf) => _leaves[segment] = (long)leaf;
    }

    /// <summary>1 MiB of addresses.</summary>
    internal struct Leaf
    {
        /// <summary>The guest's page table.</summary>
        internal TablePins Table;

        /// <summary>How many entries are not 0.</summary>
        internal int Live;

        private fixed ulong _entries[ZpciIoTable.PageEntries];

        internal ref ulong Entry(ulong iova) => ref _entries[(iova >> (int)ZpciTableLevel.Page) & (ZpciIoTable.PageEntries - 1)];
    }

    /// <summary>A guest's table whose pages are pinned.</summary>
    internal struct TablePins
    {
        /// <summary>Pages of the largest table.</summary>
        internal const int MostPages = (int)(ZpciIoTable.TableSize / ZpciIoTable.PageSize);

        /// <summary>Where the guest has it; 0 while none is pinned.</summary>
        internal ulong Origin;

        private fixed ulong _pages[MostPages];

        /// <summary>Pins the pages of a table.</summary>
        /// <returns>None; EFAULT: it is not in memory; ENOMEM; nothing is pinned then.</returns>
        internal Errno Pin(GuestPins pins, ulong origin, int pages, bool write)
        {
            for (int i = 0; i < pages; i++)
            {
                ulong address = origin + ((ulong)i * ZpciIoTable.PageSize);
                PinnedSlot? slot = pins.Find(address);
                Errno errno = slot is null || (write && slot.IsReadOnly) ? Errno.EFAULT : Errno.None;
                if (errno == Errno.None)
                {
                    var page = new GuestPage(slot!.Id, (address - slot.First) / ZpciIoTable.PageSize);
                    errno = pins.Pin(page);
                    _pages[i] = page.Word | Present;
                }

                if (errno != Errno.None)
                {
                    _pages[i] = 0;
                    Unpin(pins);
                    return errno;
                }
            }

            Origin = origin;
            return Errno.None;
        }

        /// <summary>Unpins them; without effect while there are none.</summary>
        internal void Unpin(GuestPins pins)
        {
            for (int i = 0; i < MostPages; i++)
            {
                if (_pages[i] != 0)
                {
                    pins.Unpin(GuestPage.Of(_pages[i]));
                    _pages[i] = 0;
                }
            }

            Origin = 0;
        }
    }
}
