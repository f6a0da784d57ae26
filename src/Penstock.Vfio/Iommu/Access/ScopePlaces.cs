using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Penstock.Vfio;

/// <summary>
/// Who is inside a scope. Each thread has a place of its own, found by its managed thread id and padded to two cache lines: a sequence
/// number, even while inside and 0 before the first time, and the depth of nested scopes. Entering and leaving are plain stores. The thread's
/// first entry is a full fence, so a waiter that sees no registered thread needs no process-wide barrier.
/// </summary>
internal sealed class ScopePlaces
{
    private const int PlaceWords = 16;
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

    // The one thread that has a place in use, so that a waiter need not look at them all.
    private int _thread = NoThread;

    /// <summary>Enters a scope on this thread.</summary>
    /// <param name="sequence">What to give to <see cref="Leave"/> with the place.</param>
    /// <returns>The place.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref long Enter(out long sequence) => ref Enter(CallingThread.KnownId, out sequence);

    /// <summary>As above, for who has looked at <see cref="CallingThread.KnownId"/>. Nobody has the place of thread 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref long Enter(int thread, out long sequence)
    {
        long[] places = _first;
        if ((uint)thread * PlaceWords < (uint)places.Length)
        {
            ref long place = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(places), (nint)(uint)thread * PlaceWords);
            long seen = place;
            if (IsOutside(seen))
            {
                sequence = seen + 1;
                Volatile.Write(ref place, sequence);
                return ref place;
            }
        }

        // It has no out parameter: that would keep the sequence in memory on the short way, too.
        ref long other = ref EnterSlowly(thread);
        sequence = other;
        return ref other;
    }

    /// <summary>Leaves a scope. The sequence is not read again, so that entering and leaving in turn do not wait for each other's stores.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Leave(ref long place, long sequence)
    {
        ref long depth = ref Unsafe.Add(ref place, 1);
        if (depth == 0)
        {
            Volatile.Write(ref place, sequence + 1);
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
        return block < Blocks && _blocks[block] is { } places && IsInside(places[thread % ThreadsPerBlock * PlaceWords]);
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
            if (Volatile.Read(ref _blocks[block]) is not { } places)
            {
                continue;
            }

            for (int i = 0; i < ThreadsPerBlock; i++)
            {
                if ((block * ThreadsPerBlock) + i != own)
                {
                    WaitFor(ref places[i * PlaceWords]);
                }
            }
        }
    }

    private static bool IsOutside(long sequence) => (sequence & 1) != 0;

    private static bool IsInside(long sequence) => !IsOutside(sequence) && sequence != 0;

    private static void WaitFor(ref long place)
    {
        long seen = Volatile.Read(ref place);
        if (!IsInside(seen))
        {
            return;
        }

        var spin = default(SpinWait);
        while (Volatile.Read(ref place) == seen)
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

        ref long place = ref (Volatile.Read(ref _blocks[block]) ?? NewBlock(block))[thread % ThreadsPerBlock * PlaceWords];
        long seen = place;
        if (seen == 0)
        {
            if (Interlocked.CompareExchange(ref _thread, thread, NoThread) is not NoThread and var other && other != thread)
            {
                Volatile.Write(ref _thread, Several);
            }

            Interlocked.Exchange(ref place, First);
        }
        else if (IsOutside(seen))
        {
            Volatile.Write(ref place, seen + 1);
        }
        else
        {
            Unsafe.Add(ref place, 1)++;
        }

        return ref place;
    }

    private long[] NewBlock(int block)
    {
        lock (_gate)
        {
            long[] places = _blocks[block] ?? new long[ThreadsPerBlock * PlaceWords];
            Volatile.Write(ref _blocks[block], places);
            _highestBlock = Math.Max(_highestBlock, block);
            if (block == 0)
            {
                _first = places;
            }

            return places;
        }
    }
}
