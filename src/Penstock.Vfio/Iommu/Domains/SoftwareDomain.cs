using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A translation done by this process, without locks and without allocation. Changes are published as a whole; what they replace is
/// freed once no scope can still see it. See <see cref="TranslationTable"/> for the layout and <see cref="ScopePlaces"/> for the waiting.
/// </summary>
public sealed unsafe partial class SoftwareDomain : TranslatingDomain
{
    // Replaced tables wait for the next unmap; past this much a map pays for a grace period itself.
    private const nint RetiredLimit = 4 << 20;

    private readonly Lock _gate = new();
    private readonly ResourceLedger? _ledger;
    private readonly IDomainMirror? _mirror;
    private readonly List<(nint Block, bool IsChunk)> _retired = [];
    private readonly Stack<int> _freeIndices = new();
    private readonly List<int> _leaving = [];
    private UserMemory?[] _memories = new UserMemory?[4];
    private nint _retiredBytes;
    private int _memoryCount;
    private int _count;

    /// <summary>Creates an empty domain.</summary>
    /// <param name="aperture">Addresses that can be mapped.</param>
    /// <param name="pageSizes">Page sizes reported to users, one bit each; the domain itself maps bytes.</param>
    /// <param name="ledger">Where its native memory is counted, if anywhere.</param>
    /// <param name="mirror">What follows the mappings outside of this process; null when nothing does.</param>
    public SoftwareDomain(IovaRange aperture, ulong pageSizes, ResourceLedger? ledger = null, IDomainMirror? mirror = null)
    {
        _mirror = mirror;
        Aperture = aperture;
        PageSizes = pageSizes;
        _ledger = ledger;
        _table = (nint)NewDirectory([NewChunk([])]);
    }

    /// <inheritdoc/>
    public override IovaRange Aperture { get; }

    /// <inheritdoc/>
    public override ulong PageSizes { get; }

    /// <inheritdoc/>
    public override int Count => Volatile.Read(ref _count);

    /// <inheritdoc/>
    public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        ArgumentNullException.ThrowIfNull(memory);
        bool wraps = iova + (size - 1) < iova;
        bool isOutside = memoryOffset > memory.Length || size > memory.Length - memoryOffset;
        if (size == 0 || access == DmaAccess.None || (access & ~(DmaAccess.ReadWrite & memory.Allowed)) != 0 || wraps || isOutside)
        {
            throw Refused(iova, size, access, memory, memoryOffset);
        }

        lock (_gate)
        {
            // SAFETY: as long as the gate is held the table is neither replaced nor freed.
            byte* table = Writable("mapping");
            int index = TranslationTable.ChunkOf(table, iova);
            int position = TranslationTable.Below(TranslationTable.Chunk(table, index), iova);
            if (Touches(table, index, position, iova, iova + (size - 1)))
            {
                throw new VfioException(Errno.EEXIST, Mapping(iova, size), "something in the range is mapped already");
            }

            DirtyLog? log = _tracking ? NewLog(size) : null;
            memory.Hold();
            var entry = new TableEntry { Start = iova, Length = size, Memory = Remember(memory), Flags = (int)access };
            SetTarget(ref entry, memory, memoryOffset, direct: !_tracking);
            if (log is not null)
            {
                Track(entry.Memory, log);
            }

            Insert(table, index, position, entry);
            Volatile.Write(ref _count, _count + 1);
            if (_retiredBytes > RetiredLimit)
            {
                Places.WaitForOthers();
                FreeRetired();
            }
        }

        if (_mirror is not null)
        {
            Follow(_mirror, iova, size, access, memory, memoryOffset);
        }
    }

    /// <inheritdoc/>
    public override ulong Unmap(IovaRange range)
    {
        if (_mirror is not null)
        {
            Unfollow(_mirror, range);
        }

        return Take(range);
    }

    private ulong Take(IovaRange range)
    {
        (ulong iova, ulong last) = range;
        if (last < iova)
        {
            throw new VfioException(Errno.EINVAL, Unmapping(range), "it ends before it starts");
        }

        lock (_gate)
        {
            byte* table = Writable("unmapping");
            int index = TranslationTable.ChunkOf(table, iova);
            int position = TranslationTable.Below(TranslationTable.Chunk(table, index), iova);
            if (Cuts(table, index, position, iova, last))
            {
                throw new VfioException(Errno.EINVAL, Unmapping(range), "it would cut a mapping; unmap whole mappings");
            }

            List<int> memories = _leaving;
            memories.Clear();
            ulong removed = Remove(table, index, position, iova, last, memories);
            if (memories.Count != 0)
            {
                Places.WaitForOthers();
                FreeRetired();
                Forget(memories);
            }

            return removed;
        }
    }

    /// <inheritdoc/>
    public override void Replace(ulong iova, UserMemory memory, ulong memoryOffset)
    {
        ArgumentNullException.ThrowIfNull(memory);
        lock (_gate)
        {
            byte* table = Writable("moving memory");
            TableEntry* found = TranslationTable.Find(table, iova);
            if (found->Length == 0 || found->Start != iova)
            {
                throw new VfioException(Errno.EINVAL, $"moving memory at 0x{iova:x}", "no mapping starts there");
            }

            if (memoryOffset > memory.Length || found->Length > memory.Length - memoryOffset)
            {
                throw new VfioException(Errno.EFAULT, $"moving memory at 0x{iova:x}", $"offset 0x{memoryOffset:x} leads past the memory's 0x{memory.Length:x} bytes");
            }

            if (((DmaAccess)found->Flags & DmaAccess.ReadWrite & ~memory.Allowed) != 0)
            {
                throw new VfioException(Errno.EFAULT, $"moving memory at 0x{iova:x}", $"the memory allows {memory.Allowed} only");
            }

            memory.Hold();
            int old = found->Memory;
            TableEntry entry = *found;
            entry.Memory = Remember(memory);
            SetTarget(ref entry, memory, memoryOffset, direct: !_tracking);
            if (_tracking)
            {
                // The pages are the same, and so is what was written to them.
                Track(entry.Memory, _logs[old]!);
            }

            Exchange(table, entry);
            Places.WaitForOthers();
            FreeRetired();
            Forget([old]);
            Volatile.Write(ref _count, _count + 1);
        }
    }

    /// <summary>The memory behind an entry's index. Valid only inside the scope in which the entry was found.</summary>
    internal override UserMemory MemoryAt(int index) => Volatile.Read(ref _memories)[index]!;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        lock (_gate)
        {
            if (_table == 0)
            {
                return;
            }

            byte* table = Writable("disposing an address space");
            var memories = new List<int>();
            for (int i = 0; i < TranslationTable.ChunkCount(table); i++)
            {
                foreach (ref TableEntry entry in TranslationTable.Used(TranslationTable.Chunk(table, i)))
                {
                    if (entry.Length != 0)
                    {
                        memories.Add(entry.Memory);
                    }
                }

                Retire(TranslationTable.Chunk(table, i), TranslationTable.ChunkSize);
            }

            Retire(table, TranslationTable.DirectoryBytes(table));
            Volatile.Write(ref _table, 0);
            Places.WaitForOthers();
            FreeRetired();
            FreeSpare();
            Forget(memories);
        }
    }

    // Apart from the checks, as texts that are put together would cost each map a frame of their parts.
    private static VfioException Refused(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        (Errno errno, string why) = size == 0 || access == DmaAccess.None || (access & ~DmaAccess.ReadWrite) != 0 ? (Errno.EINVAL, "a mapping needs a size and an access right")
            : iova + (size - 1) < iova ? (Errno.EOVERFLOW, "it ends past the address space")
            : memoryOffset > memory.Length || size > memory.Length - memoryOffset
                ? (Errno.EFAULT, $"offset 0x{memoryOffset:x} leads past the memory's 0x{memory.Length:x} bytes")
            : (Errno.EFAULT, $"the memory allows {memory.Allowed} only");
        return new VfioException(errno, Mapping(iova, size), why);
    }

    private static string Unmapping(IovaRange range) => $"unmapping {range}";

    private static string Mapping(ulong iova, ulong size) => $"mapping [0x{iova:x}, +0x{size:x})";

    private byte* Writable(string what)
    {
        ThrowIfEntered(what);
        return _table != 0 ? (byte*)_table : throw new VfioException(Errno.EINVAL, what, "the address space is gone");
    }

    private int Remember(UserMemory memory)
    {
        if (!_freeIndices.TryPop(out int index))
        {
            index = _memoryCount++;
            if (index == _memories.Length)
            {
                UserMemory?[] larger = new UserMemory?[index * 2];
                Array.Copy(_memories, larger, index);
                larger[index] = memory;
                Volatile.Write(ref _memories, larger);
                return index;
            }
        }

        Volatile.Write(ref _memories[index], memory);
        return index;
    }

    private void Forget(List<int> indices)
    {
        foreach (int index in indices)
        {
            UserMemory memory = _memories[index]!;
            _memories[index] = null;
            _freeIndices.Push(index);
            memory.Release();
        }

        Volatile.Write(ref _count, _count - indices.Count);
    }
}
