using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>The memory of a guest, in slots. All members may be called from any thread.</summary>
public sealed class GuestMemory
{
    internal const ulong PageSize = 4096;

    private readonly Lock _gate = new();
    private volatile GuestMemorySlot[] _slots = [];
    private volatile IGuestMemoryWatcher[] _watchers = [];
    private bool _closed;

    internal GuestMemory()
    {
    }

    /// <summary>The slots as of now, by address.</summary>
    public IReadOnlyList<GuestMemorySlot> Slots => _slots;

    /// <summary>Called after the slots have changed, on the thread that changed them.</summary>
    public Action? Changed { get; set; }

    /// <summary>Adds a slot, which holds a reference to its memory.</summary>
    /// <param name="slot">The slot.</param>
    /// <exception cref="VfioException">
    /// EINVAL: not whole pages, empty, past the memory's end, or past 2^64; EEXIST: its number or some of its addresses are in use;
    /// EBADF: the machine is destroyed.
    /// </exception>
    public void Add(GuestMemorySlot slot)
    {
        ArgumentNullException.ThrowIfNull(slot);
        string what = $"adding slot {slot.Number} at 0x{slot.Address:x}";
        if (slot.Length == 0 || ((slot.Address | slot.Length | slot.Offset) & (PageSize - 1)) != 0 || slot.Length - 1 > ulong.MaxValue - slot.Address)
        {
            throw new VfioException(Errno.EINVAL, what, $"0x{slot.Length:x} bytes at offset 0x{slot.Offset:x} are not whole pages");
        }

        if (slot.Offset > slot.Memory.Length || slot.Length > slot.Memory.Length - slot.Offset)
        {
            throw new VfioException(Errno.EINVAL, what, $"the memory has 0x{slot.Memory.Length:x} bytes");
        }

        lock (_gate)
        {
            if (_closed)
            {
                throw new VfioException(Errno.EBADF, what, "the machine is destroyed");
            }

            if (Array.Exists(_slots, s => s.Number == slot.Number || (s.Address <= slot.Last && slot.Address <= s.Last)))
            {
                throw new VfioException(Errno.EEXIST, what, "its number or some of its addresses are in use");
            }

            slot.Memory.Hold();
            _slots = [.. _slots.Append(slot).OrderBy(static s => s.Address)];
        }

        TellWatchers();
        Changed?.Invoke();
    }

    /// <summary>Takes a slot away. What is pinned of it stays valid until it is unpinned.</summary>
    /// <param name="number">Its number.</param>
    /// <exception cref="VfioException">ENOENT: there is no such slot.</exception>
    public void Remove(int number)
    {
        GuestMemorySlot gone;
        lock (_gate)
        {
            gone = Array.Find(_slots, s => s.Number == number)
                ?? throw new VfioException(Errno.ENOENT, $"removing slot {number}", "there is no such slot");
            _slots = [.. _slots.Where(s => s != gone)];
        }

        TellWatchers();
        gone.Memory.Release();
        Changed?.Invoke();
    }

    /// <summary>Reads guest memory, across slots.</summary>
    /// <param name="address">Guest address.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>None; EFAULT: not all of it is there.</returns>
    public Errno Read(ulong address, Span<byte> destination)
    {
        while (destination.Length != 0)
        {
            using PinnedGuestMemory? part = PartAt(address, (ulong)destination.Length, write: false);
            Errno errno = part?.Memory.Read(part.Offset, destination[..(int)part.Length]) ?? Errno.EFAULT;
            if (errno != Errno.None)
            {
                return errno;
            }

            destination = destination[(int)part!.Length..];
            address += part.Length;
            if (address == 0 && destination.Length != 0)
            {
                return Errno.EFAULT;
            }
        }

        return Errno.None;
    }

    /// <summary>Writes guest memory, across slots; read-only slots refuse.</summary>
    /// <param name="address">Guest address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>None; EFAULT: not all of it is there, or may be written. What comes before stays written.</returns>
    public Errno Write(ulong address, ReadOnlySpan<byte> source)
    {
        while (source.Length != 0)
        {
            using PinnedGuestMemory? part = PartAt(address, (ulong)source.Length, write: true);
            Errno errno = part?.Memory.Write(part.Offset, source[..(int)part.Length]) ?? Errno.EFAULT;
            if (errno != Errno.None)
            {
                return errno;
            }

            source = source[(int)part!.Length..];
            address += part.Length;
            if (address == 0 && source.Length != 0)
            {
                return Errno.EFAULT;
            }
        }

        return Errno.None;
    }

    /// <summary>Pins a stretch that lies in one slot.</summary>
    /// <param name="address">Guest address.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <param name="write">Whether it will be written.</param>
    /// <returns>The stretch; it stays valid until disposed, also when its slot goes.</returns>
    /// <exception cref="VfioException">EFAULT: not all of it is in one slot, or it may not be written.</exception>
    public PinnedGuestMemory Pin(ulong address, ulong length, bool write)
    {
        ArgumentOutOfRangeException.ThrowIfZero(length);
        PinnedGuestMemory? part = PartAt(address, length, write);
        if (part is not null && part.Length == length)
        {
            return part;
        }

        part?.Dispose();
        throw new VfioException(Errno.EFAULT, $"pinning 0x{length:x} bytes at guest address 0x{address:x}", "no slot has all of them, or it is read-only");
    }

    /// <summary>Reads an entry of a table; what is not at a multiple of 8 is none. Allocates nothing.</summary>
    internal bool TryReadEntry(ulong address, out ulong entry)
    {
        lock (_gate)
        {
            foreach (GuestMemorySlot slot in _slots)
            {
                // Its memory stays while it is among the slots, which the lock keeps as they are.
                ulong into = address - slot.Address;
                if (into <= slot.Length - sizeof(ulong) && into % sizeof(ulong) == 0)
                {
                    return GuestTableEntry.TryRead(slot.Memory, slot.Offset + into, out entry);
                }
            }
        }

        entry = 0;
        return false;
    }

    /// <summary>Calls a watcher after each change from now on, outside of any lock of this object, and once now.</summary>
    internal void Watch(IGuestMemoryWatcher watcher)
    {
        lock (_gate)
        {
            _watchers = [.. _watchers, watcher];
        }

        watcher.SlotsChanged();
    }

    internal void Unwatch(IGuestMemoryWatcher watcher)
    {
        lock (_gate)
        {
            _watchers = [.. _watchers.Where(w => w != watcher)];
        }
    }

    /// <summary>Looks at the slots while none can go, so that their memory can be held.</summary>
    internal void Look(Action<ReadOnlySpan<GuestMemorySlot>> look)
    {
        lock (_gate)
        {
            look(_slots);
        }
    }

    /// <summary>Whether an address is in a slot.</summary>
    internal bool Has(ulong address) => Array.Exists(_slots, s => s.Address <= address && address <= s.Last);

    /// <summary>Whether an address is in a slot that refuses writes.</summary>
    internal bool IsReadOnly(ulong address) => Array.Exists(_slots, s => s.IsReadOnly && s.Address <= address && address <= s.Last);

    internal void Clear()
    {
        GuestMemorySlot[] gone;
        lock (_gate)
        {
            _closed = true;
            gone = _slots;
            _slots = [];
        }

        TellWatchers();
        Array.ForEach(gone, static s => s.Memory.Release());
    }

    private void TellWatchers()
    {
        foreach (IGuestMemoryWatcher watcher in _watchers)
        {
            watcher.SlotsChanged();
        }
    }

    private PinnedGuestMemory? PartAt(ulong address, ulong length, bool write)
    {
        lock (_gate)
        {
            GuestMemorySlot? slot = Array.Find(_slots, s => s.Address <= address && address <= s.Last);
            if (slot is null || (write && slot.IsReadOnly))
            {
                return null;
            }

            ulong into = address - slot.Address;
            slot.Memory.Hold();
            return new PinnedGuestMemory(slot.Memory, slot.Offset + into, Math.Min(length, slot.Length - into));
        }
    }
}
