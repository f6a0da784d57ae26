using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// I/O tables of a host in native memory (zPCI, I/O address translation): region, segment and page tables in the architecture's format, big-endian.
/// They are read and changed by any number of threads without locks. A lower table that is missing is put in by compare-and-swap; who comes second frees
/// his. Tables once in stay until the end.
/// </summary>
internal sealed unsafe partial class HostIoTables : IDisposable
{
    // Origins of any level; what is below them are flags.
    private const ulong NextTable = ZpciIoTable.SegmentOrigin;
    private const ulong IndexMask = ZpciIoTable.TableEntries - 1;
    private const int PageShift = (int)ZpciTableLevel.Page;
    private const int SegmentShift = (int)ZpciTableLevel.Segment;

    private readonly int _topShift;
    private readonly ulong _limit;
    private readonly ResourceLedger? _ledger;
    private nint _root;
    private nint _closed;
    private ulong _bytes;

    /// <summary>Makes an empty translation.</summary>
    /// <param name="type">How many levels.</param>
    /// <param name="memoryLimit">Most bytes of tables.</param>
    /// <param name="ledger">Where the tables are counted, if anywhere.</param>
    /// <exception cref="VfioException">ENOMEM: no memory for the first table.</exception>
    public HostIoTables(ZpciDesignationType type, ulong memoryLimit, ResourceLedger? ledger = null)
    {
        Type = type;
        _topShift = ShiftOf(type);
        _limit = memoryLimit;
        _ledger = ledger;
        Aperture = new IovaRange(0, LastAddress(type));
        _root = (nint)NewTable(ZpciIoTable.TableEntries, ZpciIoTable.TableInvalid);
        if (_root == 0)
        {
            throw NoMemory("making I/O tables");
        }
    }

    /// <summary>With which table it starts.</summary>
    public ZpciDesignationType Type { get; }

    /// <summary>What can be translated.</summary>
    public IovaRange Aperture { get; }

    /// <summary>What a function is given to find the tables: their origin, type, and that they translate.</summary>
    public ulong Iota => (ulong)_root | ZpciIota.Translate | ((ulong)Type << ZpciIota.TypeShift);

    /// <summary>Bytes of tables.</summary>
    public ulong TableBytes => Volatile.Read(ref _bytes);

    /// <summary>Last address that tables of a type translate.</summary>
    /// <param name="type">The type of the first table.</param>
    /// <returns>The address.</returns>
    public static ulong LastAddress(ZpciDesignationType type) =>
        type == ZpciDesignationType.RegionFirst ? ulong.MaxValue : (1ul << (ShiftOf(type) + ZpciIoTable.LevelBits)) - 1;

    /// <summary>The page entry of an address, in this machine's byte order.</summary>
    /// <param name="iova">The address.</param>
    /// <returns>The entry; an invalid one also where there is no table.</returns>
    public ulong Entry(ulong iova)
    {
        ulong* entry = Find(iova);
        return entry != null ? FromTable(Volatile.Read(ref *entry)) : ZpciIoTable.PageInvalid;
    }

    /// <summary>Puts an entry in, whatever was there.</summary>
    /// <param name="iova">Its address.</param>
    /// <param name="entry">The entry, in this machine's byte order.</param>
    /// <param name="previous">What was there.</param>
    /// <returns>None; EINVAL: outside of the aperture; ENOMEM: no memory for a table.</returns>
    public Errno Exchange(ulong iova, ulong entry, out ulong previous)
    {
        previous = ZpciIoTable.PageInvalid;
        if (iova > Aperture.Last)
        {
            return Errno.EINVAL;
        }

        ulong* table = PageTable(iova);
        if (table == null)
        {
            return Errno.ENOMEM;
        }

        previous = FromTable(Interlocked.Exchange(ref table[PageIndex(iova)], ToTable(entry)));
        return Errno.None;
    }

    /// <summary>Makes an entry invalid.</summary>
    /// <param name="iova">Its address.</param>
    /// <returns>What was there.</returns>
    public ulong Clear(ulong iova)
    {
        ulong* entry = Find(iova);
        return entry != null ? FromTable(Interlocked.Exchange(ref *entry, ToTable(ZpciIoTable.PageInvalid))) : ZpciIoTable.PageInvalid;
    }

    /// <summary>Gives all tables back. Nobody reads them any more.</summary>
    public void Dispose()
    {
        Close();
        nint root = Interlocked.Exchange(ref _closed, 0);
        if (root != 0)
        {
            Free((ulong*)root, _topShift);
        }
    }

    /// <summary>From now on nothing is found; the tables stay for who is reading them.</summary>
    internal void Close()
    {
        nint root = Interlocked.Exchange(ref _root, 0);
        if (root != 0)
        {
            _closed = root;
        }
    }

    /// <summary>Where the entry of an address is; null where there is no table.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong* Find(ulong iova)
    {
        // SAFETY: tables stay until the end, and entries lead to tables of the next level only; indices are masked.
        ulong* table = (ulong*)Volatile.Read(ref _root);
        if (iova > Aperture.Last || table == null)
        {
            return null;
        }

        for (int shift = _topShift; shift >= SegmentShift; shift -= ZpciIoTable.LevelBits)
        {
            ulong next = FromTable(Volatile.Read(ref table[(iova >> shift) & IndexMask]));
            if ((next & ZpciIoTable.TableInvalid) != 0)
            {
                return null;
            }

            table = (ulong*)(next & NextTable);
        }

        return table + PageIndex(iova);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong FromTable(ulong entry) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(entry) : entry;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong ToTable(ulong entry) => FromTable(entry);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong PageIndex(ulong iova) => (iova >> PageShift) & (ZpciIoTable.PageEntries - 1);

    private static int ShiftOf(ZpciDesignationType type) => type switch
    {
        ZpciDesignationType.RegionThird => (int)ZpciTableLevel.RegionThird,
        ZpciDesignationType.RegionSecond => (int)ZpciTableLevel.RegionSecond,
        ZpciDesignationType.RegionFirst => (int)ZpciTableLevel.RegionFirst,
        _ => throw new VfioException(Errno.EINVAL, "making I/O tables", $"a host's tables do not start with {type}"),
    };
}
