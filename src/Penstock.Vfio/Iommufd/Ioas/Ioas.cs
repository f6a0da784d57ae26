using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>
/// An I/O address space: what is mapped where, for all page tables and accesses that are attached to it. It may be filled before anything
/// is attached; memory is then pinned when it is needed. Map, copy and unmap are checked in the kernel's order. All members may be called
/// from any thread.
/// </summary>
public sealed partial class Ioas : IommufdObject
{
    private static readonly ulong PageSize = LockedMemoryAccounts.PageSize;

    private readonly IoasAreas _areas = new();
    private readonly List<(IovaRange Range, object Owner)> _reserved = [];
    private readonly List<PagingHwPagetable> _tables = [];
    private readonly List<IommufdAccess> _accesses = [];
    private List<IovaRange> _allowed = [];
    private ulong _alignment = 1;
    private bool _hugePages = true;

    internal Ioas(IommufdContext context)
        : base(context)
    {
    }

    /// <summary>Addresses that can be mapped, ascending (IOAS_IOVA_RANGES).</summary>
    /// <exception cref="VfioException">ENOENT: destroyed.</exception>
    public IReadOnlyList<IovaRange> IovaRanges
    {
        get
        {
            lock (Context.Gate)
            {
                ThrowIfDestroyed("IOAS_IOVA_RANGES");
                return IovaHoles.Between(_reserved.Select(r => r.Range));
            }
        }
    }

    /// <summary>What addresses, lengths and memory must be multiples of, in bytes; 1 before anything is attached.</summary>
    public ulong Alignment
    {
        get
        {
            lock (Context.Gate)
            {
                return _alignment;
            }
        }
    }

    /// <summary>
    /// Whether tables may use one large entry for a mapping (OPTION HUGE_PAGES). Without, every page has an entry of its own.
    /// </summary>
    /// <exception cref="VfioException">
    /// Setting false: EINVAL: something is mapped in a page table already; EADDRINUSE: a mapping is not page aligned. ENOENT: destroyed.
    /// </exception>
    public bool HugePages
    {
        get
        {
            lock (Context.Gate)
            {
                ThrowIfDestroyed("OPTION HUGE_PAGES");
                return _hugePages;
            }
        }

        set
        {
            const string What = "OPTION HUGE_PAGES";
            lock (Context.Gate)
            {
                ThrowIfDestroyed(What);
                if (value == _hugePages)
                {
                    return;
                }

                if (!value && _tables.Count != 0 && _areas.Count != 0)
                {
                    throw new VfioException(Errno.EINVAL, What, "something is mapped in a page table already; unmap it first");
                }

                _hugePages = value;
                try
                {
                    UpdateAlignment(What);
                }
                catch
                {
                    _hugePages = !value;
                    throw;
                }
            }
        }
    }

    /// <summary>Whether no device of any of its tables can bypass the CPU's caches.</summary>
    internal bool EnforcesCoherency
    {
        get
        {
            lock (Context.Gate)
            {
                return _tables.TrueForAll(static t => t.Unit.Options.EnforcesCoherency);
            }
        }
    }

    internal override int DestroyOrder => 4;

    internal IReadOnlyList<PagingHwPagetable> Tables => _tables;

    /// <summary>Limits automatic placement to some ranges (IOAS_ALLOW_IOVAS), replacing the limits there were.</summary>
    /// <param name="ranges">The ranges; none for no limit.</param>
    /// <exception cref="VfioException">
    /// EINVAL: a range with one address or less, or two that overlap; EADDRINUSE: one touches a reserved range; ENOENT: destroyed. The
    /// old limits then stay.
    /// </exception>
    public void AllowIovas(IReadOnlyList<IovaRange> ranges)
    {
        ArgumentNullException.ThrowIfNull(ranges);
        const string What = "IOAS_ALLOW_IOVAS";
        lock (Context.Gate)
        {
            ThrowIfDestroyed(What);
            var allowed = new List<IovaRange>();
            foreach (IovaRange range in ranges)
            {
                if (range.First >= range.Last)
                {
                    throw new VfioException(Errno.EINVAL, What, $"{range} does not end after its start");
                }

                if (allowed.Exists(a => a.Overlaps(range)))
                {
                    throw new VfioException(Errno.EINVAL, What, $"{range} overlaps another entry");
                }

                allowed.Add(range);
            }

            foreach (IovaRange range in allowed.Where(a => _reserved.Exists(r => r.Range.Overlaps(a))))
            {
                throw new VfioException(Errno.EADDRINUSE, What, $"{range} touches a reserved range; read the usable ranges first");
            }

            allowed.Sort((a, b) => a.First.CompareTo(b.First));
            _allowed = allowed;
        }
    }

    /// <summary>Maps memory (IOAS_MAP).</summary>
    /// <param name="memory">The memory; the mapping holds a reference of its own.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory.</param>
    /// <param name="length">Length in bytes, a multiple of <see cref="Alignment"/>.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="iova">The I/O address; null for one that the address space chooses.</param>
    /// <returns>The I/O address.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: no access right, length 0, alignment, or a reserved range; EOVERFLOW: it wraps; EEXIST: something is mapped there;
    /// ENOSPC: no place left; EFAULT: not inside the memory; ENOMEM: over the limit of locked memory; ENOENT: destroyed.
    /// </exception>
    public ulong Map(UserMemory memory, ulong memoryOffset, ulong length, DmaAccess access, ulong? iova = null)
    {
        ArgumentNullException.ThrowIfNull(memory);
        RangeCall what = new("IOAS_MAP", iova, length);
        CheckRequest(what, length, access, iova ?? 0);
        return MapMemory(what, memory, memoryOffset, length, access, iova);
    }

    /// <summary>Maps memory at an address of the caller (IOAS_MAP), which is looked up when a device or access first needs it.</summary>
    /// <param name="address">First byte, in the address space of the context's user.</param>
    /// <param name="length">Length in bytes, a multiple of <see cref="Alignment"/>.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="iova">The I/O address; null for one that the address space chooses.</param>
    /// <returns>The I/O address.</returns>
    /// <exception cref="VfioException">As <see cref="Map"/>.</exception>
    public ulong MapAddress(ulong address, ulong length, DmaAccess access, ulong? iova = null)
    {
        RangeCall what = new("IOAS_MAP", iova, length);
        CheckRequest(what, length, access, iova ?? 0);
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            return MapAddress(what, address, length, access, iova);
        }
    }

    /// <summary>Maps part of a memory file (IOAS_MAP_FILE).</summary>
    /// <param name="file">The file; it may be closed afterwards.</param>
    /// <param name="start">First byte in the file.</param>
    /// <param name="length">Length in bytes, a multiple of <see cref="Alignment"/>.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="iova">The I/O address; null for one that the address space chooses.</param>
    /// <returns>The I/O address.</returns>
    /// <exception cref="VfioException">As <see cref="Map"/>; EINVAL: the file is shorter, or not a memory file; EACCES: it cannot be read.</exception>
    public ulong MapFile(OwnedDescriptor file, ulong start, ulong length, DmaAccess access, ulong? iova = null)
    {
        ArgumentNullException.ThrowIfNull(file);
        RangeCall what = new("IOAS_MAP_FILE", iova, length);
        CheckRequest(what, length, access, iova ?? 0);
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            CheckSource(what, start, length);
            Context.Host.Allocations.Ask(what);
            MappedMemory memory = MappedMemory.Create(Context.Host.Mappings, file, start, length);
            try
            {
                return Insert(what, () => new IommufdPages(Context, memory, 0, length, Writes(access)), start, length, access, iova);
            }
            finally
            {
                memory.Release();
            }
        }
    }

    /// <summary>Maps once more what another address space, or this one, has mapped (IOAS_COPY). The pages are pinned and charged once.</summary>
    /// <param name="source">Where it is mapped; of the same context.</param>
    /// <param name="sourceIova">First address there; any part of one or several mappings without holes.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="access">What devices may do here.</param>
    /// <param name="iova">The I/O address here; null for one that the address space chooses.</param>
    /// <returns>The I/O address.</returns>
    /// <exception cref="VfioException">As <see cref="Map"/>; ENOENT: a hole in the source; EPERM: write access to pages that were mapped read-only.</exception>
    public ulong Copy(Ioas source, ulong sourceIova, ulong length, DmaAccess access, ulong? iova = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        RangeCall what = new("IOAS_COPY", iova, length);
        if (source.Context != Context)
        {
            throw new VfioException(Errno.ENOENT, what, "the source belongs to another context");
        }

        if (sourceIova == IommufdLimits.Everything)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "the source address does not exist");
        }

        CheckRequest(what, length, access, iova ?? 0);
        lock (Context.Gate)
        {
            source.ThrowIfDestroyed(what);
            List<AreaPiece> pieces = source.PiecesOf(what, sourceIova, length);
            ThrowIfDestroyed(what);
            return Insert(what, pieces, length, access, iova);
        }
    }

    internal override void Destroyed()
    {
        foreach (IoasArea area in _areas.All.ToArray())
        {
            RemoveArea(area);
        }
    }

    /// <summary>MAP without the checks of the request, as the container's call, which does not ask for an access right.</summary>
    internal ulong MapMemory(RangeCall what, UserMemory memory, ulong memoryOffset, ulong length, DmaAccess access, ulong? iova)
    {
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            CheckSource(what, memoryOffset, length);
            if (memoryOffset > memory.Length || length > memory.Length - memoryOffset)
            {
                throw new VfioException(Errno.EFAULT, what, $"offset 0x{memoryOffset:x} leads past the memory's 0x{memory.Length:x} bytes");
            }

            return Insert(what, () => new IommufdPages(Context, memory, memoryOffset, length, Writes(access)), memoryOffset, length, access, iova);
        }
    }

    /// <summary>As above, for an address of the caller. The gate is held.</summary>
    internal ulong MapAddress(RangeCall what, ulong address, ulong length, DmaAccess access, ulong? iova)
    {
        CheckSource(what, address, length);
        return Insert(what, () => new IommufdPages(Context, Context.UserMemory, address, length, Writes(access)), address, length, access, iova);
    }

    private static bool Writes(DmaAccess access) => (access & DmaAccess.Write) != 0;

    private static void CheckRequest(RangeCall what, ulong length, DmaAccess access, ulong iova)
    {
        if ((access & ~DmaAccess.ReadWrite) != 0)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"unknown access bits {access}");
        }

        if (length == IommufdLimits.Everything || iova == IommufdLimits.Everything)
        {
            throw new VfioException(Errno.EOVERFLOW, what, "address and length must be below 2^64 - 1");
        }

        if (access == DmaAccess.None)
        {
            throw new VfioException(Errno.EINVAL, what, "it grants neither read nor write");
        }
    }

    private static void CheckSource(RangeCall what, ulong start, ulong length)
    {
        if (length > ulong.MaxValue - start)
        {
            throw new VfioException(Errno.EOVERFLOW, what, $"the memory at 0x{start:x} ends past 2^64");
        }

        if (length == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "the length is 0");
        }
    }
}
