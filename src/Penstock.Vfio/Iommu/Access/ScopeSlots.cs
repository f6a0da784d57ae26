using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Penstock.Vfio;

/// <summary>
/// Who is inside a scope. Each thread has a slot of its own, found by its managed thread id and padded to two cache lines: a sequence
/// number, even while inside and 0 before the first time, and the depth of nested scopes. Entering and leaving are plain stores. The thread's
/// first entry is a full fence, so a waiter that sees no registered thread needs no process-wide barrier.
/// </summary>
internal sealed class ScopeSlots
{
    private const int SlotWords = 16;
    private const int ThreadsPerBlock = 64;
    private const int Blocks = 512;
    private const int First = 2;
    private const int NoThread = 0;
    private const int Several = -1;

    private readonly long[]?[] _blocks = new long[]?[Blocks];
    private readonly Lock _gate = new();

    // Block 0 once it is there: threads that stay have low numbers.
    private volatile long[] _first = [];
    private int _highestBlock = -1;

    // The one thread that has a slot in use, so that a waiter need not look at them all.
    private int _thread = NoThread;

    /// <summary>Enters a scope on this thread.</summary>
    /// <param name="sequence">What to give to <see cref="Leave"/> with the slot.</param>
    /// <returns>The slot.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref long Enter(out long sequence) => ref Enter(CallingThread.KnownId, out sequence);

    /// <summary>As above, for who has looked at <see cref="CallingThread.KnownId"/>. Nobody has the slot of thread 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref long Enter(int thread, out long sequence)
    {
        long[] slots = _first;
        if ((uint)thread * SlotWords < (uint)slots.Length)
        {
            ref long slot = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(slots), (nint)(uint)thread * SlotWords);
            long seen = slot;
            if (IsOutside(seen))
            {
                sequence = seen + 1;
                Volatile.Write(ref slot, sequence);
                return ref slot;
            }
        }

        // It has no out parameter: that would keep the sequence in memory on the short way, too.
        ref long other = ref EnterSlowly(thread);
        sequence = other;
        return ref other;
    }

    /// <summary>Leaves a scope. The sequence is not read again, so that entering and leaving in turn do not wait for each other's stores.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Leave(ref long slot, long sequence)
    {
        ref long depth = ref Unsafe.Add(ref slot, 1);
        if (depth == 0)
        {
            Volatile.Write(ref slot, sequence + 1);
        }
        else
        {
            depth--;
        }
    }

    /// <summary>Whether the calling thread is inside a scope.</summary>
    internal bool IsInside()
    {
        int thread = CallingThread.Id;
        int block = thread / ThreadsPerBlock;
        return block < Blocks && _blocks[block] is { } slots && IsInside(slots[thread % ThreadsPerBlock * SlotWords]);
    }

    /// <summary>
    /// Returns when every scope that another thread may have entered before the call has been left. What the caller published before
    /// is seen by every scope that is entered later.
    /// </summary>
    internal void WaitForOthers()
    {
        Interlocked.MemoryBarrier();
        int own = CallingThread.Id;
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

    private static bool IsOutside(long sequence) => (sequence & 1) != 0;

    private static bool IsInside(long sequence) => !IsOutside(sequence) && sequence != 0;

    private static void WaitFor(ref long slot)
    {
        long seen = Volatile.Read(ref slot);
        if (!IsInside(seen))
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
        int thread = Volatile.Read(ref _thread);
        return thread != NoThread && thread != own;
    }

    /// <summary>The thread's first entry, a nested one, or one of a thread with a high number.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private ref long EnterSlowly(int thread)
    {
        thread = thread == 0 ? CallingThread.Id : thread;
        int block = thread / ThreadsPerBlock;
        if (block >= Blocks)
        {
            throw new InvalidOperationException($"thread {thread}: at most {Blocks * ThreadsPerBlock} threads can use I/O address spaces at once");
        }

        ref long slot = ref (Volatile.Read(ref _blocks[block]) ?? NewBlock(block))[thread % ThreadsPerBlock * SlotWords];
        long seen = slot;
        if (seen == 0)
        {
            if (Interlocked.CompareExchange(ref _thread, thread, NoThread) is not NoThread and var other && other != thread)
            {
                Volatile.Write(ref _thread, Several);
            }

            Interlocked.Exchange(ref slot, First);
        }
        else if (IsOutside(seen))
        {
            Volatile.Write(ref slot, seen + 1);
        }
        else
        {
            Unsafe.Add(ref slot, 1)++;
        }

        return ref slot;
    }

    private long[] NewBlock(int block)
    {
        lock (_gate)
        {
            long[] slots = _blocks[block] ?? new long[ThreadsPerBlock * SlotWords];
            Volatile.Write(ref _blocks[block], slots);
            _highestBlock = Math.Max(_highestBlock, block);
            if (block == 0)
            {
                _first = slots;
            }

            return slots;
        }
    }
}
