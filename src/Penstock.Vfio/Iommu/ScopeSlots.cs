using System.Runtime.CompilerServices;

namespace Penstock.Vfio;

/// <summary>
/// Who is inside a scope. Each thread has a slot of its own, found by its managed thread id and padded to two cache lines: a sequence
/// number, odd while inside, and the depth of nested scopes. Entering and leaving are plain stores. The thread's first entry is a full
/// fence, so a waiter that sees no registered thread needs no process-wide barrier.
/// </summary>
internal sealed class ScopeSlots
{
    private const int SlotWords = 16;
    private const int ThreadsPerBlock = 64;
    private const int Blocks = 512;
    private const int First = 2;

    private readonly long[]?[] _blocks = new long[]?[Blocks];
    private readonly Lock _gate = new();
    private int _highestBlock = -1;

    /// <summary>Enters a scope on this thread.</summary>
    /// <returns>The slot, to be given to <see cref="Leave"/>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref long Enter()
    {
        int thread = Environment.CurrentManagedThreadId;
        uint block = (uint)thread / ThreadsPerBlock;
        long[]?[] blocks = _blocks;
        if (block < (uint)blocks.Length && blocks[block] is { } slots)
        {
            ref long slot = ref slots[thread % ThreadsPerBlock * SlotWords];
            long sequence = slot;
            if (sequence != 0)
            {
                if ((sequence & 1) == 0)
                {
                    Volatile.Write(ref slot, sequence + 1);
                }
                else
                {
                    Unsafe.Add(ref slot, 1)++;
                }

                return ref slot;
            }
        }

        return ref EnterFirst(thread);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Leave(ref long slot)
    {
        ref long depth = ref Unsafe.Add(ref slot, 1);
        if (depth == 0)
        {
            Volatile.Write(ref slot, slot + 1);
        }
        else
        {
            depth--;
        }
    }

    /// <summary>Whether the calling thread is inside a scope.</summary>
    internal bool IsInside()
    {
        int thread = Environment.CurrentManagedThreadId;
        int block = thread / ThreadsPerBlock;
        return block < Blocks && _blocks[block] is { } slots && (slots[thread % ThreadsPerBlock * SlotWords] & 1) != 0;
    }

    /// <summary>
    /// Returns when every scope that another thread may have entered before the call has been left. What the caller published before
    /// is seen by every scope that is entered later.
    /// </summary>
    internal void WaitForOthers()
    {
        Interlocked.MemoryBarrier();
        int own = Environment.CurrentManagedThreadId;
        if (!AnyOther(own))
        {
            return;
        }

        Interlocked.MemoryBarrierProcessWide();
        for (int block = 0; block <= Volatile.Read(ref _highestBlock); block++)
        {
            if (Volatile.Read(ref _blocks[block]) is not { } slots)
            {
                continue;
            }

            for (int i = 0; i < ThreadsPerBlock; i++)
            {
                if ((block * ThreadsPerBlock) + i != own)
                {
                    WaitFor(ref slots[i * SlotWords]);
                }
            }
        }
    }

    private static void WaitFor(ref long slot)
    {
        long seen = Volatile.Read(ref slot);
        if ((seen & 1) == 0)
        {
            return;
        }

        var spin = default(SpinWait);
        while (Volatile.Read(ref slot) == seen)
        {
            // Never asleep: a scope is left soon, and a millisecond is a long time for an unmap.
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    private bool AnyOther(int own)
    {
        for (int block = 0; block <= Volatile.Read(ref _highestBlock); block++)
        {
            if (Volatile.Read(ref _blocks[block]) is { } slots)
            {
                for (int i = 0; i < ThreadsPerBlock; i++)
                {
                    if (Volatile.Read(ref slots[i * SlotWords]) != 0 && (block * ThreadsPerBlock) + i != own)
                    {
                        return true;
                    }
                }
            }
        }

        return false;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ref long EnterFirst(int thread)
    {
        int block = thread / ThreadsPerBlock;
        if (block >= Blocks)
        {
            throw new InvalidOperationException($"thread {thread}: at most {Blocks * ThreadsPerBlock} threads can use I/O address spaces at once");
        }

        long[] slots;
        lock (_gate)
        {
            slots = _blocks[block] ?? new long[ThreadsPerBlock * SlotWords];
            Volatile.Write(ref _blocks[block], slots);
            _highestBlock = Math.Max(_highestBlock, block);
        }

        ref long slot = ref slots[thread % ThreadsPerBlock * SlotWords];
        Interlocked.Exchange(ref slot, First + 1);
        return ref slot;
    }
}
