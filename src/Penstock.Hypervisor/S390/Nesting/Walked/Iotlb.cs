using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>
/// Results of walks, for a page each, in native memory: an address has one place where its result can be. Reading takes no lock: each place has a sequence number
/// that is odd while it is written, and a reader that sees it odd or changing has found nothing.
/// </summary>
internal sealed unsafe class Iotlb : IDisposable
{
    /// <summary>How many places.</summary>
    internal const int Places = 4096;

    private readonly ResourceLedger _ledger;
    private Place* _places;

    internal Iotlb(ResourceLedger ledger)
    {
        _ledger = ledger;
        // SAFETY: freed by Dispose, once; indices are masked.
        _places = NativeBlock.Allocate<Place>(Places, ledger);
    }

    public void Dispose() => NativeBlock.Free(ref _places, _ledger);

    /// <summary>Finds a page's result.</summary>
    internal bool TryGet(ulong page, out ulong result)
    {
        ref Place place = ref At(page);
        long before = Volatile.Read(ref place.Sequence);
        ulong tag = Volatile.Read(ref place.Tag);
        result = Volatile.Read(ref place.Result);
        return tag == TagOf(page) && (before & 1) == 0 && Volatile.Read(ref place.Sequence) == before;
    }

    /// <summary>
    /// Keeps a result, unless something was invalidated since the walk began. Whoever invalidates changes the ring's generation first and looks
    /// at the places then: either this sees the new generation, or the other one finds the result.
    /// </summary>
    /// <param name="page">The page.</param>
    /// <param name="result">What the walk found.</param>
    /// <param name="ring">Where invalidations come from.</param>
    /// <param name="generation">Its generation before the walk.</param>
    internal void Keep(ulong page, ulong result, InvalidationRing ring, long generation)
    {
        ref Place place = ref At(page);
        long sequence = Volatile.Read(ref place.Sequence);
        if ((sequence & 1) == 0 && Interlocked.CompareExchange(ref place.Sequence, sequence + 1, sequence) == sequence)
        {
            place.Result = result;
            place.Tag = ring.Generation == generation ? TagOf(page) : 0;
            Volatile.Write(ref place.Sequence, sequence + 2);
        }
    }

    /// <summary>Forgets the results of a range of pages.</summary>
    internal void Drop(ulong first, ulong last)
    {
        if (last - first >= Places - 1)
        {
            for (ulong i = 0; i < Places; i++)
            {
                Drop(ref At(i), 0, ulong.MaxValue);
            }

            return;
        }

        for (ulong page = first; ; page++)
        {
            Drop(ref At(page), TagOf(first), TagOf(last));
            if (page == last)
            {
                return;
            }
        }
    }

    private static ulong TagOf(ulong page) => (page << 1) | 1;

    private static void Drop(ref Place place, ulong first, ulong last)
    {
        var spin = default(SpinWait);
        while (true)
        {
            long sequence = Volatile.Read(ref place.Sequence);
            if ((sequence & 1) == 0)
            {
                ulong tag = Volatile.Read(ref place.Tag);
                if (tag == 0 || tag < first || tag > last)
                {
                    if (Volatile.Read(ref place.Sequence) == sequence)
                    {
                        return;
                    }
                }
                else if (Interlocked.CompareExchange(ref place.Sequence, sequence + 1, sequence) == sequence)
                {
                    place.Tag = 0;
                    Volatile.Write(ref place.Sequence, sequence + 2);
                    return;
                }
            }

            // Somebody is writing it: a few instructions, unless he lost the processor there.
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    private ref Place At(ulong page) => ref _places[page & (Places - 1)];

    [StructLayout(LayoutKind.Sequential)]
    private struct Place
    {
        internal long Sequence;
        internal ulong Tag;
        internal ulong Result;
        internal ulong Unused;
    }
}
