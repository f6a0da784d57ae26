using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A guest that has its I/O tables in its own memory: 32 MiB in two slots with a hole between, and a third that cannot be written.</summary>
internal sealed class NestingTables
{
    public const ulong Page = ZpciIoTable.PageSize;
    public const ulong FirstLength = 16 << 20;
    public const ulong SecondAddress = 32 << 20;
    public const ulong SecondLength = 12 << 20;
    public const ulong ReadOnlyAddress = 64 << 20;
    public const ulong ReadOnlyLength = 4 << 20;
    public const ulong FirstIova = 0x1_0000_0000;

    private readonly GuestMemory _memory;
    private ulong _next = 1 << 20;

    public NestingTables(HypervisorRig rig, GuestMemory memory)
    {
        _memory = memory;
        Add(rig, 1, 0, FirstLength, readOnly: false);
        Add(rig, 2, SecondAddress, SecondLength, readOnly: false);
        Add(rig, 3, ReadOnlyAddress, ReadOnlyLength, readOnly: true);
        Root = NewTable();
    }

    public ulong Root { get; }

    public Iota Iota => Iota.Of(Root, ZpciDesignationType.RegionThird);

    public IoatRegistration Registration(ulong last = FirstIova + (4ul << 30) - 1) => new(Iota, new DmaAperture(FirstIova, last));

    public ulong Read(ulong address)
    {
        Span<byte> bytes = stackalloc byte[8];
        return _memory.Read(address, bytes) == Errno.None ? BinaryPrimitives.ReadUInt64BigEndian(bytes) : 0;
    }

    public void Write(ulong address, ulong entry)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, entry);
        Assert.Equal(Errno.None, _memory.Write(address, bytes));
    }

    /// <summary>A region or segment table of invalid entries.</summary>
    public ulong NewTable() => New(ZpciIoTable.TableSize, ZpciIoTable.TableInvalid);

    /// <summary>A page table of invalid entries.</summary>
    public ulong NewPageTable() => New(ZpciIoTable.PageTableSize, ZpciIoTable.PageInvalid);

    public ulong RegionEntry(ulong iova) => Root + (((iova >> 31) & 2047) * 8);

    public static ulong EntryIn(ulong table, ulong iova, ZpciTableLevel level) =>
        table + (((iova >> (int)level) & (level == ZpciTableLevel.Page ? 255ul : 2047)) * 8);

    /// <summary>Maps a page as Linux does: tables are made on the way.</summary>
    public void Map(ulong iova, ulong address, bool writable = true) =>
        Write(PageEntry(iova), address | (writable ? 0 : ZpciIoTable.Protected));

    public void Unmap(ulong iova) => Write(PageEntry(iova), ZpciIoTable.PageInvalid);

    /// <summary>Where the page entry of an address is; tables are made on the way.</summary>
    public ulong PageEntry(ulong iova)
    {
        ulong region = RegionEntry(iova);
        if ((Read(region) & ZpciIoTable.TableInvalid) != 0)
        {
            Write(region, NewTable() | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
        }

        ulong segment = EntryIn(Read(region) & ZpciIoTable.RegionOrigin, iova, ZpciTableLevel.Segment);
        if ((Read(segment) & ZpciIoTable.TableInvalid) != 0)
        {
            Write(segment, NewPageTable());
        }

        return EntryIn(Read(segment) & ZpciIoTable.SegmentOrigin, iova, ZpciTableLevel.Page);
    }

    private static void Add(HypervisorRig rig, GuestMemory memory, int number, ulong address, ulong length, bool readOnly)
    {
        var behind = ProcessMemory.Allocate(length, rig.Host.Ledger);
        memory.Add(new GuestMemorySlot(number, address, length, behind, IsReadOnly: readOnly));
        behind.Release();
    }

    private void Add(HypervisorRig rig, int number, ulong address, ulong length, bool readOnly) =>
        Add(rig, _memory, number, address, length, readOnly);

    private ulong New(ulong size, ulong fill)
    {
        ulong table = (_next + size - 1) & ~(size - 1);
        _next = table + size;
        Assert.True(_next <= FirstLength, "the guest has no room for tables");
        for (ulong at = 0; at < size; at += 8)
        {
            Write(table + at, fill);
        }

        return table;
    }
}
