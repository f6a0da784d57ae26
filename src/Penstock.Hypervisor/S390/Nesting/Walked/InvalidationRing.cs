using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Ranges of pages that are to be forgotten: the guest's side appends, one thread at a time; the device's side drains before it translates, whichever thread comes
/// first. A ring that is full is no reason to wait and loses nothing: everything is forgotten then.
/// </summary>
internal sealed unsafe class InvalidationRing : IDisposable
{
    /// <summary>Ranges that it holds.</summary>
    internal const int Capacity = 256;

    /// <summary>Ranges from outside that can be there at once.</summary>
    internal const uint MostOuter = TapLayout.RingCount;

    private const int PageShift = (int)ZpciTableLevel.Page;

    private readonly ResourceLedger _ledger;
    private Range* _ranges;
    private long _head;
    private long _tail;
    private long _generation;
    private long _drained;
    private long _overflows;
    private int _overflowed;
    private int _draining;
    private uint _outerDrained;

    internal InvalidationRing(ResourceLedger ledger)
    {
        _ledger = ledger;
        // SAFETY: freed by Dispose, once; indices are taken modulo the capacity.
        _ranges = NativeBlock.Allocate<Range>(Capacity, ledger);
    }

    /// <summary>Ranges from outside, which are drained with these; null when there are none.</summary>
    internal IOuterInvalidations? Outer
    {
        get;
        init
        {
            field = value;
            _outerDrained = value?.Head ?? 0;
        }
    }

    /// <summary>Changes with each append.</summary>
    internal long Generation => Volatile.Read(ref _generation) + (Outer?.Head ?? 0);

    /// <summary>Whether something has been appended and not been forgotten yet.</summary>
    internal bool IsPending =>
        Volatile.Read(ref _generation) != Volatile.Read(ref _drained) || (Outer is { } outer && outer.Head != Volatile.Read(ref _outerDrained));

    /// <summary>How often everything had to be forgotten.</summary>
    internal long Overflows => Volatile.Read(ref _overflows);

    public void Dispose() => NativeBlock.Free(ref _ranges, _ledger);

    /// <summary>Appends. A full fence: what the caller reads afterwards is read after everybody can see the range.</summary>
    internal void Append(ulong first, ulong last)
    {
        if (_tail - Volatile.Read(ref _head) == Capacity)
        {
            _overflows++;
            Volatile.Write(ref _overflowed, 1);
        }
        else
        {
            _ranges[_tail % Capacity] = new Range { First = first, Last = last };
            Volatile.Write(ref _tail, _tail + 1);
        }

        Interlocked.Increment(ref _generation);
    }

    /// <summary>Forgets what was appended until now.</summary>
    /// <returns>False when another thread is about to: then what is kept must not be used.</returns>
    internal bool TryDrain(Iotlb kept)
    {
        if (Interlocked.CompareExchange(ref _draining, 1, 0) != 0)
        {
            return false;
        }

        // In this order: at least what belongs to the generation is in the ring by then.
        long generation = Volatile.Read(ref _generation);
        long tail = Volatile.Read(ref _tail);
        if (Interlocked.Exchange(ref _overflowed, 0) != 0)
        {
            kept.Drop(0, ulong.MaxValue);
        }
        else
        {
            for (long at = _head; at != tail; at++)
            {
                kept.Drop(_ranges[at % Capacity].First, _ranges[at % Capacity].Last);
            }
        }

        DrainOuter(kept);
        Volatile.Write(ref _head, tail);
        Volatile.Write(ref _drained, generation);
        Volatile.Write(ref _draining, 0);
        return true;
    }

    private void DrainOuter(Iotlb kept)
    {
        if (Outer is not { } outer)
        {
            return;
        }

        uint head = outer.Head;
        if (head - _outerDrained > MostOuter)
        {
            // So many are not there; whoever counts is not to be trusted.
            kept.Drop(0, ulong.MaxValue);
            Volatile.Write(ref _outerDrained, head);
            return;
        }

        for (uint at = _outerDrained; at != head; at++)
        {
            if (outer.TryReadLine(at, out ulong start, out ulong length) && length != 0 && length - 1 <= ulong.MaxValue - start)
            {
                kept.Drop(start >> PageShift, (start + (length - 1)) >> PageShift);
            }
            else
            {
                kept.Drop(0, ulong.MaxValue);
            }
        }

        Volatile.Write(ref _outerDrained, head);
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Range
    {
        internal ulong First;
        internal ulong Last;
    }
}
