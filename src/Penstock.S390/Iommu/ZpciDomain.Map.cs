using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <content>What users map and unmap.</content>
public sealed unsafe partial class ZpciDomain
{
    private long _mappedPages;
    private long _unmappedPages;

    /// <inheritdoc/>
    public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        ArgumentNullException.ThrowIfNull(memory);
        RangeToMap what = new(iova, size);
        Check(what, access, memory, memoryOffset);
        ThrowIfEntered("mapping");
        using Use use = EnterAsUser(what);
        var bank = new RealBank(memory, memoryOffset, iova, size, access);
        if (!_real.TryAdd(bank))
        {
            throw new VfioException(Errno.ENOSPC, what.ToString(), "the domain has as many mappings as there are real addresses for");
        }

        ulong entry = bank.Base | ((access & DmaAccess.Write) == 0 ? ZpciIoTable.Protected : 0);
        ulong pages = size / ZpciIoTable.PageSize;
        Errno errno = _tables.Map(iova, pages, entry, out ulong done);
        if (errno == Errno.None)
        {
            errno = SyncMap(iova, size);
        }

        if (errno == Errno.None)
        {
            Interlocked.Add(ref _mappedPages, (long)pages);
            return;
        }

        ulong undone = _tables.Undo(iova, done, entry);
        if (undone != 0)
        {
            // Functions, or a hypervisor below, may have seen them already.
            Sync(what.Range);
        }

        WaitForScopes();
        Leave(bank, (long)(undone + (pages - done)));
        throw new VfioException(errno, what.ToString(), errno switch
        {
            Errno.EEXIST => "something in the range is mapped already",
            Errno.ENOMEM => "there is no memory for a table, here or in the hypervisor below; nothing of it is mapped",
            _ => "a function could not be told of it; nothing of it is mapped",
        });
    }

    /// <inheritdoc/>
    public override ulong Unmap(IovaRange range)
    {
        if (range.Last < range.First)
        {
            throw new VfioException(Errno.EINVAL, $"unmapping {range}", "it ends before it starts");
        }

        ThrowIfEntered("unmapping");
        using Use use = EnterAsUser(range);
        ThrowIfCut(range);
        var gathered = new Gathered(_real);
        _tables.Clear(range, ref gathered);
        if (gathered.Pages == 0)
        {
            return 0;
        }

        Interlocked.Add(ref _unmappedPages, (long)gathered.Pages);
        Sync(new IovaRange(gathered.First, gathered.Last + (ZpciIoTable.PageSize - 1)));
        WaitForScopes();
        foreach ((RealBank bank, long pages) in gathered.Banks)
        {
            Leave(bank, pages);
        }

        return gathered.Pages * ZpciIoTable.PageSize;
    }

    /// <inheritdoc/>
    public override void Replace(ulong iova, UserMemory memory, ulong memoryOffset)
    {
        ArgumentNullException.ThrowIfNull(memory);
        string what = $"moving memory at 0x{iova:x}";
        ThrowIfEntered(what);
        using Use use = EnterAsUser(what);
        ulong entry = _tables.Entry(iova);
        if ((entry & ZpciIoTable.PageInvalid) != 0 || _real.Find(entry) is not { } old || old.Range.First != iova)
        {
            throw new VfioException(Errno.EINVAL, what, "no mapping starts there");
        }

        ulong size = old.Range.Last - iova + 1;
        Check(new RangeToMap(iova, size), old.Access, memory, memoryOffset);
        var bank = new RealBank(memory, memoryOffset, iova, size, old.Access);
        if (!_real.TryAdd(bank))
        {
            throw new VfioException(Errno.ENOSPC, what, "the domain has as many mappings as there are real addresses for");
        }

        long pages = (long)(size / ZpciIoTable.PageSize);
        long moved = (long)_tables.Move(iova, (ulong)pages, entry, bank.Base | (entry & ZpciIoTable.Protected));
        Sync(old.Range);
        WaitForScopes();
        Leave(old, moved);
        Leave(bank, pages - moved);
    }

    /// <summary>
    /// Takes one whole mapping out of the tables, for who has made it himself and tells functions and waits later: it may still be in use.
    /// </summary>
    /// <returns>What <see cref="Release"/> needs once nothing uses it any more.</returns>
    /// <exception cref="VfioException">EINVAL: it is not exactly one mapping; EDEADLK: the calling thread is inside a scope.</exception>
    internal RealBank TakeOut(ulong iova, ulong size)
    {
        ThrowIfEntered("unmapping");
        var range = new IovaRange(iova, iova + (size - 1));
        using Use use = EnterAsUser(range);
        return Take(range);
    }

    /// <summary>Unmaps one whole mapping: nothing uses it any more.</summary>
    /// <exception cref="VfioException">As <see cref="TakeOut"/>.</exception>
    internal void UnmapOne(ulong iova, ulong size)
    {
        ThrowIfEntered("unmapping");
        var range = new IovaRange(iova, iova + (size - 1));
        using Use use = EnterAsUser(range);
        RealBank bank = Take(range);
        Sync(range);
        WaitForScopes();
        Release(bank);
    }

    /// <summary>Gives the memory of mappings back that were taken out, after a wait.</summary>
    internal void Release(RealBank bank) => _real.Remove(bank);

    private RealBank Take(IovaRange range)
    {
        ulong entry = _tables.Entry(range.First);
        if ((entry & ZpciIoTable.PageInvalid) != 0 || _real.Find(entry) is not { } bank || bank.Range != range)
        {
            throw new VfioException(Errno.EINVAL, $"unmapping {range}", "it is not exactly one mapping");
        }

        // Of several at once, who finds the first entry valid takes it.
        if (_tables.Clear(range.First) != entry)
        {
            throw new VfioException(Errno.EINVAL, $"unmapping {range}", "somebody else is unmapping it");
        }

        var nothing = default(Ignored);
        _tables.Clear(range, ref nothing);
        Interlocked.Add(ref _unmappedPages, (long)((range.Last - range.First + 1) / ZpciIoTable.PageSize));
        return bank;
    }

    private void Check(RangeToMap what, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        if (access == DmaAccess.None || (access & ~DmaAccess.ReadWrite) != 0)
        {
            throw new VfioException(Errno.EINVAL, what.ToString(), "a mapping needs an access right");
        }

        Errno errno = _aperture.Judge(what.Iova, what.Size, memoryOffset);
        if (errno != Errno.None)
        {
            throw new VfioException(errno, what.ToString(), errno == Errno.EOVERFLOW
                ? "it ends past the address space"
                : $"address, size and memory offset 0x{memoryOffset:x} must be in pages of 0x{ZpciIoTable.PageSize:x} bytes, inside {Aperture}");
        }

        if (what.Size > RealAddresses.BankSize)
        {
            throw new VfioException(Errno.EINVAL, what.ToString(), $"map it in parts of at most 0x{RealAddresses.BankSize:x} bytes");
        }

        if (memoryOffset > memory.Length || what.Size > memory.Length - memoryOffset)
        {
            throw new VfioException(Errno.EFAULT, what.ToString(), $"offset 0x{memoryOffset:x} leads past the memory's 0x{memory.Length:x} bytes");
        }

        if ((access & ~memory.Allowed) != 0)
        {
            throw new VfioException(Errno.EFAULT, what.ToString(), $"the memory allows {memory.Allowed} only");
        }

        // Not after making most of them.
        if (what.Size / ZpciIoTable.SegmentSize * ZpciIoTable.PageTableSize > _setup.TableMemory)
        {
            throw new VfioException(Errno.ENOMEM, what.ToString(), $"its page tables alone would have more than 0x{_setup.TableMemory:x} bytes; allow more, or map less");
        }
    }

    private void ThrowIfCut(IovaRange range)
    {
        if (Cuts(range.First, range) || Cuts(range.Last, range))
        {
            throw new VfioException(Errno.EINVAL, $"unmapping {range}", "it would cut a mapping; unmap whole mappings");
        }
    }

    private bool Cuts(ulong edge, IovaRange range)
    {
        ulong entry = _tables.Entry(edge);
        return (entry & ZpciIoTable.PageInvalid) == 0 && _real.Find(entry) is { } bank && !range.Contains(bank.Range);
    }

    /// <summary>Pages of a mapping are out of use; with the last one it goes.</summary>
    private void Leave(RealBank bank, long pages)
    {
        if (pages != 0 && bank.Leave(pages))
        {
            _real.Remove(bank);
        }
    }

    /// <summary>What is to be mapped, put into words only when it has to be.</summary>
    private readonly record struct RangeToMap(ulong Iova, ulong Size)
    {
        public IovaRange Range => new(Iova, Iova + (Size - 1));

        public override string ToString() => $"mapping [0x{Iova:x}, +0x{Size:x})";
    }

    /// <summary>Collects what an unmap takes away: the span to refresh, and how many pages of which piece of memory.</summary>
    private struct Gathered(RealAddresses real) : HostIoTables.ICleared
    {
        private RealBank? _bank;
        private long _pages;
        private List<(RealBank Bank, long Pages)>? _banks;

        public ulong First { get; private set; }

        public ulong Last { get; private set; }

        public ulong Pages { get; private set; }

        public IEnumerable<(RealBank Bank, long Pages)> Banks
        {
            get
            {
                Next(null);
                return _banks!;
            }
        }

        public void Cleared(ulong iova, ulong entry)
        {
            First = Pages == 0 ? iova : First;
            Last = iova;
            Pages++;

            // Its pages are still counted, so nobody removes it.
            RealBank bank = real.At(entry);
            if (bank != _bank)
            {
                Next(bank);
            }

            _pages++;
        }

        private void Next(RealBank? bank)
        {
            if (_bank is not null)
            {
                (_banks ??= []).Add((_bank, _pages));
            }

            _bank = bank;
            _pages = 0;
        }
    }
}
