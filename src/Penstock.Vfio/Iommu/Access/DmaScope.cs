using System.Runtime.CompilerServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A short time during which no borrowed memory goes away: unmapping waits until it is left. It must not span a blocking call, a
/// control call on the same address space, or message DMA. Entering and leaving cost two plain stores. Scopes may nest on a thread.
/// </summary>
public readonly ref struct DmaScope
{
    private readonly TranslatingDomain? _domain;
    private readonly DmaPort? _port;
    private readonly ref long _place;
    private readonly long _sequence;
    private readonly nint _table;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal DmaScope(TranslatingDomain domain, DmaPort? port = null)
    {
        ref long place = ref domain.Places.Enter(out long sequence);

        // Looked at inside: whoever starts logging, blocks the port or moves its group waits for scopes from before.
        if (port is not null && !port.LeadsTo(domain))
        {
            // There is nothing to be had here, and nothing to leave.
            ScopePlaces.Leave(ref place, sequence);
            return;
        }

        _place = ref place;
        _sequence = sequence;
        _domain = domain;
        _port = port;

        // Without a table nothing is lent, only held.
        _table = port is { IsLogging: true } ? 0 : domain.Table;
    }

    /// <summary>As above, through a port that lends without conditions; unless it has stopped meanwhile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal DmaScope(int thread, TranslatingDomain domain, DmaPort port, IommuGroup lending)
    {
        ref long place = ref domain.Places.Enter(thread, out long sequence);
        if (!port.Lends(lending, domain))
        {
            ScopePlaces.Leave(ref place, sequence);
            this = port.EnterChecked();
            return;
        }

        _place = ref place;
        _sequence = sequence;
        _domain = domain;
        _port = port;
        _table = domain.Table;
    }

    /// <summary>Finds memory that may be touched directly. Thread rule: only on the thread that entered.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="length">How much is wanted, at least 1.</param>
    /// <param name="access">What will be done.</param>
    /// <param name="run">The memory; it may be shorter than wanted.</param>
    /// <returns>
    /// False when the first byte is not mapped, DMA is blocked, the mapping does not grant the access, or its memory is reached by copies or messages only:
    /// Read and Write tell which and, in the last case, work.
    /// </returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe bool TryBorrow(ulong iova, ulong length, DmaAccess access, out DmaRun run)
    {
        if (_table != 0)
        {
            // SAFETY: the table stays allocated while the scope lasts.
            TableEntry* entry = TranslationTable.Find((byte*)_table, iova);
            ulong offset = iova - entry->Start;

            // Read once, and before the rest: it becomes 0 when the mapping goes.
            ulong mapped = Volatile.Read(ref entry->Length);
            int wanted = (int)access | TableEntry.Direct;
            if (offset < mapped && (entry->Flags & wanted) == wanted && length != 0)
            {
                run = new DmaRun((byte*)(entry->Target + offset), Math.Min(length, mapped - offset));
                return true;
            }
        }
        else if (_domain is not null)
        {
            return TryBorrowWalked(_domain, _port, iova, length, access, out run);
        }

        run = default;
        return false;
    }

    /// <summary>Takes a counted hold on the memory behind an address, for transfers that outlast the scope.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="length">How much is wanted, at least 1.</param>
    /// <param name="access">What will be done.</param>
    /// <param name="held">The memory; dispose it when done. It stays valid even if the user unmaps it meanwhile.</param>
    /// <returns>None; EFAULT: not mapped or blocked; EPERM: the mapping does not grant the access.</returns>
    public unsafe Errno TryHold(ulong iova, ulong length, DmaAccess access, out HeldMemory held)
    {
        held = default;
        nint table = _table != 0 ? _table : _domain?.Table ?? 0;
        if (table == 0 || length == 0)
        {
            return _domain is null || length == 0 ? Errno.EFAULT : TryHoldWalked(iova, length, access, out held);
        }

        // SAFETY: as in TryBorrow.
        TableEntry* entry = TranslationTable.Find((byte*)table, iova);
        ulong offset = iova - entry->Start;
        ulong mapped = Volatile.Read(ref entry->Length);
        if (offset >= mapped)
        {
            return Errno.EFAULT;
        }

        if ((entry->Flags & (int)access) != (int)access)
        {
            return Errno.EPERM;
        }

        UserMemory memory = _domain!.MemoryAt(entry->Memory);
        memory.Hold();
        ulong start = (entry->Flags & TableEntry.Direct) != 0 ? entry->Target - (ulong)memory.DirectAddress : entry->Target;
        bool writes = (access & DmaAccess.Write) != 0;
        held = new HeldMemory(memory, start + offset, Math.Min(length, mapped - offset))
        {
            Log = writes ? _domain.LogAt(entry->Memory) : null,
            LogOffset = offset,
            Port = writes ? _port : null,
            Iova = iova,
        };
        return Errno.None;
    }

    /// <summary>Leaves the scope; what was borrowed must not be touched any more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Dispose()
    {
        if (_sequence != 0)
        {
            ScopePlaces.Leave(ref _place, _sequence);
        }
    }

    /// <summary>
    /// As <see cref="TryBorrow"/>, in a domain without a table of its own, or while nothing is lent. Static: whoever calls a member on a scope has it in
    /// memory instead of registers, and that takes longer than a translation.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static unsafe bool TryBorrowWalked(TranslatingDomain domain, DmaPort? port, ulong iova, ulong length, DmaAccess access, out DmaRun run)
    {
        if (length != 0 && port is not { IsLogging: true } && domain.Walk(iova, access, out DmaTarget target) == Errno.None
            && target.Memory.DirectAddress is var address and not 0)
        {
            run = new DmaRun((byte*)address + target.Offset, Math.Min(length, target.Length));
            return true;
        }

        run = default;
        return false;
    }

    private Errno TryHoldWalked(ulong iova, ulong length, DmaAccess access, out HeldMemory held)
    {
        held = default;
        Errno errno = _domain!.Walk(iova, access, out DmaTarget target);
        if (errno == Errno.None)
        {
            target.Memory.Hold();
            held = new HeldMemory(target.Memory, target.Offset, Math.Min(length, target.Length))
            {
                Port = (access & DmaAccess.Write) != 0 ? _port : null,
                Iova = iova,
            };
        }

        return errno;
    }
}
