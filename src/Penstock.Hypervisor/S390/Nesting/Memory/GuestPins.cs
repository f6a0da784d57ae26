using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The pages of a guest that devices may touch, or tables that are read: how often each is pinned, and who pays. A pin is a count in native memory;
/// there is no object for it. A page that is pinned several times is charged once.
/// <para>
/// Finding an address takes no lock and allocates nothing, from any thread. Pins change between <see cref="Begin"/> and <see cref="End"/>, by one thread at a
/// time; charging is done for many pages together there, so that a page costs a few nanoseconds.
/// </para>
/// </summary>
public sealed partial class GuestPins : IDisposable, IGuestMemoryWatcher
{
    // What is charged at once for a range: one leaf table's worth.
    private const long LargestCredit = 256;

    private readonly Lock _gate = new();
    private readonly GuestMemory _memory;
    private readonly LockedPages _payer;
    private readonly Action<ReadOnlySpan<GuestMemorySlot>> _look;
    private PinnedSlot?[] _slots = new PinnedSlot?[4];
    private volatile PinnedSlot[] _view = [];
    private volatile IGuestReader[] _readers = [];
    private long _pins;
    private long _pages;
    private long _counted;
    private long _credit;
    private long _wanted;
    private bool _whole;
    private bool _anyGone;
    private bool _disposed;

    /// <summary>Creates it with nothing pinned.</summary>
    /// <param name="memory">The guest's memory.</param>
    /// <param name="payer">Who pays; becomes this object's, which disposes it.</param>
    public GuestPins(GuestMemory memory, LockedPages payer)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(payer);
        _memory = memory;
        _payer = payer;
        _look = Compare;
        memory.Watch(this);
    }

    /// <summary>Pins now, where a page counts as often as it is pinned.</summary>
    public long Pins => Interlocked.Read(ref _pins);

    /// <summary>Pages that are pinned now, each counted once; they are charged, but for a device's registers.</summary>
    public long Pages => Interlocked.Read(ref _pages);

    /// <summary>Pages that are charged now: what is pinned, and what is kept about it.</summary>
    public long Charged => _payer.Count;

    /// <summary>Gives everything back, pinned or not; the machine's memory goes on without this object. Nothing can be found any more.</summary>
    public void Dispose()
    {
        _memory.Unwatch(this);
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _view = [];
        }

        WaitForReaders();
        Sweep();
        _counted -= _pins;
        _pins = 0;
        _pages = 0;
        Settle();
        _payer.Dispose();
    }

    /// <summary>Pins all of the guest's memory, and what is added to it from now on as long as the limit allows; what it does not allow cannot be found.</summary>
    /// <returns>None; ENOMEM: over the limit, and nothing is pinned.</returns>
    public Errno PinAll()
    {
        lock (_gate)
        {
            foreach (PinnedSlot slot in _view)
            {
                if (!TryPinWhole(slot))
                {
                    UnpinWhole();
                    return Errno.ENOMEM;
                }
            }

            _whole = true;
            return Errno.None;
        }
    }

    /// <summary>Ends <see cref="PinAll"/>; pages that are pinned one by one stay so.</summary>
    public void UnpinAll()
    {
        lock (_gate)
        {
            _whole = false;
            UnpinWhole();
        }
    }

    void IGuestMemoryWatcher.SlotsChanged()
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _anyGone = false;
            _memory.Look(_look);
            if (!_anyGone)
            {
                return;
            }
        }

        WaitForReaders();
        Sweep();
    }

    /// <summary>Called with the lock held when a slot is given back: no page of it is pinned any more.</summary>
    internal Action<PinnedSlot>? Freed { get; set; }

    /// <summary>Adds a reader of found memory; what it may still use does not go before <see cref="IGuestReader.WaitForScopes"/> has returned.</summary>
    internal void Add(IGuestReader reader)
    {
        lock (_gate)
        {
            _readers = [.. _readers, reader];
        }
    }

    internal void Remove(IGuestReader reader)
    {
        lock (_gate)
        {
            _readers = [.. _readers.Where(r => r != reader)];
        }
    }

    /// <summary>Finds the slot of a guest address. No lock, no allocation.</summary>
    /// <param name="address">Guest address.</param>
    /// <returns>The slot, valid for a reader until its scope ends, for others while something of it is pinned; null when it is no memory.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal PinnedSlot? Find(ulong address)
    {
        PinnedSlot[] view = _view;
        int low = 0;
        int high = view.Length;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            PinnedSlot slot = view[middle];
            if (address < slot.First)
            {
                high = middle;
            }
            else if (address > slot.Last)
            {
                low = middle + 1;
            }
            else
            {
                return slot;
            }
        }

        return null;
    }

    /// <summary>The slot of a pinned page. Between <see cref="Begin"/> and <see cref="End"/>.</summary>
    internal PinnedSlot SlotOf(GuestPage page) => _slots[page.Slot]!;

    /// <summary>Begins to change pins. Others wait until <see cref="End"/>.</summary>
    /// <param name="most">How many pages may be pinned; a hint.</param>
    internal void Begin(ulong most)
    {
        _gate.Enter();
        _wanted = (long)Math.Min(most, LargestCredit);
    }

    /// <summary>Gives back what was charged and not used.</summary>
    internal void End()
    {
        Settle();
        _gate.Exit();
    }

    /// <summary>Pins a page once more. Between <see cref="Begin"/> and <see cref="End"/>.</summary>
    /// <returns>None; ENOMEM: over the limit, or the count is full; nothing has changed.</returns>
    internal Errno Pin(GuestPage page)
    {
        PinnedSlot slot = _slots[page.Slot]!;
        ref uint count = ref slot.CountOf(page.Page);
        if (count == 0)
        {
            if (!slot.IsWhole && slot.IsCharged && !TryTakeCredit())
            {
                return Errno.ENOMEM;
            }

            slot.Counted++;
            _pages += slot.IsWhole ? 0 : 1;
        }
        else if (count == uint.MaxValue)
        {
            return Errno.ENOMEM;
        }

        count++;
        _counted++;
        _pins++;
        return Errno.None;
    }

    /// <summary>Drops a pin. Between <see cref="Begin"/> and <see cref="End"/>; nobody can touch the page through it any more.</summary>
    internal void Unpin(GuestPage page)
    {
        PinnedSlot slot = _slots[page.Slot]!;
        ref uint count = ref slot.CountOf(page.Page);
        if (count == 0)
        {
            throw new InvalidOperationException($"page 0x{page.Page:x} of slot {slot.Slot.Number} is not pinned");
        }

        _counted--;
        _pins--;
        if (--count == 0)
        {
            slot.Counted--;
            if (!slot.IsWhole)
            {
                _pages--;
                _credit += slot.IsCharged ? 1 : 0;
                if (slot.IsGone && slot.Counted == 0)
                {
                    Free(slot);
                }
            }
        }
    }

    /// <summary>As many pins as counted since the last call go to the host's ledger, and unused credit back to the account.</summary>
    internal void Settle()
    {
        long credit = _credit;
        _credit = 0;
        _payer.Uncharge(credit);
        if (_counted > 0)
        {
            _payer.Ledger.Acquired(ResourceKind.Pin, _counted);
        }
        else if (_counted < 0)
        {
            _payer.Ledger.Released(ResourceKind.Pin, -_counted);
        }

        _counted = 0;
    }

    /// <summary>Charges for memory of this process that a guest causes to be used. Between <see cref="Begin"/> and <see cref="End"/>.</summary>
    /// <param name="pages">How many pages.</param>
    /// <returns>False: over the limit; nothing has changed.</returns>
    internal bool TryCharge(long pages)
    {
        if (_payer.Charge(pages) == Errno.None)
        {
            return true;
        }

        // Not for want of what is only held for pins to come.
        _payer.Uncharge(_credit);
        _credit = 0;
        return _payer.Charge(pages) == Errno.None;
    }

    /// <summary>Gives back what <see cref="TryCharge"/> has charged.</summary>
    internal void Uncharge(long pages) => _payer.Uncharge(pages);

    private bool TryTakeCredit()
    {
        if (_credit == 0)
        {
            // All that may be needed; near the limit one by one.
            if (_wanted > 1 && _payer.Charge(_wanted) == Errno.None)
            {
                _credit = _wanted;
            }
            else if (_payer.Charge(1) == Errno.None)
            {
                _credit = 1;
            }
            else
            {
                return false;
            }
        }

        _credit--;
        return true;
    }
}
