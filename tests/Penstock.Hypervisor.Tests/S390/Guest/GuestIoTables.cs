using System.Buffers.Binary;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>A guest's I/O tables in its memory, from a region third table on, as its driver writes them.</summary>
internal sealed class GuestIoTables
{
    private const ulong IndexMask = ZpciIoTable.TableEntries - 1;

    private readonly ProcessMemory _memory;
    private readonly ulong _root;
    private ulong _next;

    public GuestIoTables(ProcessMemory memory, ulong root)
    {
        _memory = memory;
        _root = root;
        _next = root;
        Assert.Equal(root, NewTable(ZpciIoTable.TableEntries, ZpciIoTable.TableInvalid | ZpciIoTable.TypeRegionThird));
    }

    public ulong Iota => _root | ZpciIota.RegionThirdFlags;

    public void Map(ulong iova, ulong address, bool writable = true) =>
        Write(PlaceOf(iova), address | (writable ? 0 : ZpciIoTable.Protected));

    public void Unmap(ulong iova) => Write(PlaceOf(iova), ZpciIoTable.PageInvalid);

    /// <summary>Writes anything where the entry of a page is.</summary>
    public void Spoil(ulong iova, ulong entry) => Write(PlaceOf(iova), entry);

    private ulong PlaceOf(ulong iova)
    {
        ulong region = _root + (((iova >> (int)ZpciTableLevel.RegionThird) & IndexMask) * ZpciIoTable.EntrySize);
        if ((Read(region) & ZpciIoTable.TableInvalid) != 0)
        {
            ulong table = NewTable(ZpciIoTable.TableEntries, ZpciIoTable.TableInvalid);
            Write(region, table | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
        }

        ulong segment = (Read(region) & ZpciIoTable.RegionOrigin) + (((iova >> (int)ZpciTableLevel.Segment) & IndexMask) * ZpciIoTable.EntrySize);
        if ((Read(segment) & ZpciIoTable.TableInvalid) != 0)
        {
            Write(segment, NewTable(ZpciIoTable.PageEntries, ZpciIoTable.PageInvalid));
        }

        return (Read(segment) & ZpciIoTable.SegmentOrigin) + (((iova >> (int)ZpciTableLevel.Page) & (ZpciIoTable.PageEntries - 1)) * ZpciIoTable.EntrySize);
    }

    private ulong NewTable(int entries, ulong fill)
    {
        ulong table = _next;
        _next += ZpciIoTable.TableSize;
        for (int i = 0; i < entries; i++)
        {
            Write(table + (ulong)(i * ZpciIoTable.EntrySize), fill);
        }

        return table;
    }

    private ulong Read(ulong address) => BinaryPrimitives.ReadUInt64BigEndian(_memory.Span(address, sizeof(ulong)));

    private void Write(ulong address, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(_memory.Span(address, sizeof(ulong)), value);
}
