using System.Buffers.Binary;
using Penstock.Hypervisor;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>
/// Memory of a guest with I/O tables for so many pages in a row, as Linux makes them: a region third table, segment tables, page tables. Behind
/// the tables may be the pages that the entries lead to.
/// </summary>
internal sealed unsafe class ZpciBenchGuest : IDisposable
{
    public const ulong Page = ZpciIoTable.PageSize;

    /// <summary>First I/O address, where Linux starts.</summary>
    public const ulong FirstIova = ZpciLimits.StartDma;

    private const ulong Root = ZpciIoTable.TableSize;
    private const ulong SegmentTables = 2 * ZpciIoTable.TableSize;
    private readonly MemoryMapping _mapping;
    private readonly ulong _pageTables;
    private readonly ulong _data;

    /// <summary>Makes the guest.</summary>
    /// <param name="pages">How many pages have an entry; all are invalid at first.</param>
    /// <param name="hasData">Whether there is memory behind the entries.</param>
    public ZpciBenchGuest(int pages, bool hasData)
    {
        Pages = pages;
        ulong segments = ((ulong)pages + ZpciIoTable.PageEntries - 1) / ZpciIoTable.PageEntries;
        ulong regions = (segments + ZpciIoTable.TableEntries - 1) / ZpciIoTable.TableEntries;
        _pageTables = SegmentTables + (regions * ZpciIoTable.TableSize);
        _data = (_pageTables + (segments * ZpciIoTable.PageTableSize) + Page - 1) & ZpciIoTable.PageFrame;
        File = MemoryFile.Create("bench guest", _data + (hasData ? (ulong)pages * Page : 0));
        _mapping = MemoryMapping.Map(File.Descriptor.Value, 0, (nuint)File.Size, MemoryProtection.Read | MemoryProtection.Write);
        Memory = ProcessMemory.Over((nint)_mapping.Pointer, File.Size);
        Fill(Root, ZpciIoTable.TableEntries, ZpciIoTable.TableInvalid);
        Fill(SegmentTables, (int)regions * ZpciIoTable.TableEntries, ZpciIoTable.TableInvalid);
        Fill(_pageTables, (int)segments * ZpciIoTable.PageEntries, ZpciIoTable.PageInvalid);
        for (ulong i = 0; i < regions; i++)
        {
            ulong index = (FirstIova >> (int)ZpciTableLevel.RegionThird) + i;
            Write(Root + (index * sizeof(ulong)), (SegmentTables + (i * ZpciIoTable.TableSize)) | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
        }

        for (ulong i = 0; i < segments; i++)
        {
            Write(SegmentTables + (i * sizeof(ulong)), _pageTables + (i * ZpciIoTable.PageTableSize));
        }
    }

    public int Pages { get; }

    /// <summary>The file behind the memory.</summary>
    public MemoryFile File { get; }

    /// <summary>The memory; its addresses are the guest's.</summary>
    public ProcessMemory Memory { get; }

    public static Iota Anchor => Iota.Of(Root, ZpciDesignationType.RegionThird);

    public IoatRegistration Registration => new(Anchor, new DmaAperture(FirstIova, FirstIova + ((ulong)Pages * Page) - 1));

    public FlatTableReader Reader => new((nint)_mapping.Pointer, _data);

    /// <summary>The tables, as a file has them.</summary>
    public ReadOnlySpan<byte> Tables => new(_mapping.Pointer, (int)_data);

    public static ulong IovaOf(int page) => FirstIova + ((ulong)page * Page);

    /// <summary>Makes the entry of a page valid. Neighbours do not lead to neighbours.</summary>
    public void Set(int page, bool writable = true) => Write(
        _pageTables + ((ulong)page * sizeof(ulong)), (_data + ((ulong)(page ^ 1) * Page)) | (writable ? 0 : ZpciIoTable.Protected));

    public void Clear(int page) => Write(_pageTables + ((ulong)page * sizeof(ulong)), ZpciIoTable.PageInvalid);

    public void Dispose()
    {
        Memory.Release();
        _mapping.Dispose();
        File.Dispose();
    }

    // SAFETY: offsets are of the tables, which the mapping is large enough for.
    private void Write(ulong offset, ulong entry) =>
        Volatile.Write(ref *(ulong*)(_mapping.Pointer + offset), BinaryPrimitives.ReverseEndianness(entry));

    private void Fill(ulong offset, int entries, ulong entry) =>
        new Span<ulong>(_mapping.Pointer + offset, entries).Fill(BinaryPrimitives.ReverseEndianness(entry));
}
