using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Eventfds that are signalled when the guest writes to an address (KVM_IOEVENTFD), beside devices that handle what is left. All members
/// may be called from any thread.
/// </summary>
public sealed class IoEventfdTable
{
    /// <summary>How many devices a space may have before it takes no more eventfds.</summary>
    private const int MostDevices = 1000;

    private readonly Lock _gate = new();
    private readonly ResourceLedger _ledger;
    private readonly List<(IoSpace Space, Func<ulong, uint, ulong, bool> Write)> _devices = [];
    private volatile (IoMatch Match, CountedEvent Events, ulong Key)[] _entries = [];
    private bool _closed;

    internal IoEventfdTable(ResourceLedger ledger) => _ledger = ledger;

    /// <summary>How many eventfds there are.</summary>
    public int Count => _entries.Length;

    /// <summary>Adds a device, which is asked after the eventfds and after devices that were added before.</summary>
    /// <param name="space">Its space.</param>
    /// <param name="write">Receives address, width and value; answers whether the write was meant for it.</param>
    /// <exception cref="VfioException">EBADF: the machine is destroyed.</exception>
    public void AddDevice(IoSpace space, Func<ulong, uint, ulong, bool> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        lock (_gate)
        {
            CheckOpen($"adding a device of {space}");
            _devices.Add((space, write));
        }
    }

    /// <summary>Tells an eventfd of writes. Several values may share an address.</summary>
    /// <param name="events">The eventfd; stays the caller's.</param>
    /// <param name="match">Which writes.</param>
    /// <exception cref="VfioException">
    /// EINVAL: no such width, the end wraps, or a value without width; EBADF: the eventfd is closed, or the machine destroyed; EEXIST:
    /// another eventfd is told of some of them; ENOSPC: the space has too many devices.
    /// </exception>
    public void Assign(EventDescriptor events, IoMatch match)
    {
        ArgumentNullException.ThrowIfNull(events);
        Check(match.Address, match.Width, match.Value is not null);
        EventDescriptor held;
        try
        {
            held = events.Hold(_ledger);
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, What(match), e.Message);
        }
        catch (ObjectDisposedException)
        {
            throw new VfioException(Errno.EBADF, What(match), "the eventfd is closed");
        }

        AssignOwned(held, match);
    }

    /// <summary>Takes one away.</summary>
    /// <param name="events">The eventfd.</param>
    /// <param name="match">Exactly what it was assigned with.</param>
    /// <exception cref="VfioException">ENOENT: there is no such one; EBADF: the eventfd is closed.</exception>
    public void Deassign(EventDescriptor events, IoMatch match)
    {
        ArgumentNullException.ThrowIfNull(events);
        ulong key = KeyOf(match, events);
        CountedEvent gone;
        lock (_gate)
        {
            int at = Array.FindIndex(_entries, e => e.Key == key && e.Match == match);
            if (at < 0)
            {
                throw new VfioException(Errno.ENOENT, What(match), "no eventfd was assigned with exactly these");
            }

            gone = _entries[at].Events;
            _entries = [.. _entries[..at], .. _entries[(at + 1)..]];
        }

        gone.Retire();
    }

    /// <summary>The guest writes. May be called from any thread, takes no lock before a device is asked.</summary>
    /// <param name="space">Where.</param>
    /// <param name="address">Address.</param>
    /// <param name="width">Width in bytes.</param>
    /// <param name="value">The value, in the low bytes.</param>
    /// <returns>Whether an eventfd or a device took it; else it is the VMM's.</returns>
    public bool GuestWrites(IoSpace space, ulong address, uint width, ulong value)
    {
        foreach ((IoMatch match, CountedEvent events, _) in _entries)
        {
            if (match.Hits(space, address, width, value))
            {
                // One that is taken away at this moment takes the write without a signal.
                events.TrySignal();
                return true;
            }
        }

        Func<ulong, uint, ulong, bool>[] devices;
        lock (_gate)
        {
            devices = [.. _devices.Where(d => d.Space == space).Select(static d => d.Write)];
        }

        return Array.Exists(devices, d => d(address, width, value));
    }

    internal static void Check(in KvmIoEventfd call)
    {
        CheckRange(call.Address, call.Length);
        if ((call.Flags & ~KvmIoEventfdFlags.All) != 0)
        {
            throw new VfioException(Errno.EINVAL, "KVM_IOEVENTFD", $"unknown flags {call.Flags}");
        }

        Check(call.Address, call.Length, (call.Flags & KvmIoEventfdFlags.DataMatch) != 0);
    }

    /// <summary>As <see cref="Assign"/>, and becomes the owner of the descriptor, also when it fails.</summary>
    internal void AssignOwned(EventDescriptor events, IoMatch match)
    {
        try
        {
            ulong key = KeyOf(match, events);
            lock (_gate)
            {
                CheckOpen(What(match));
                if (Array.Exists(_entries, e => e.Match.CollidesWith(match)))
                {
                    throw new VfioException(Errno.EEXIST, What(match), "an eventfd is told of some of these writes already");
                }

                if (_devices.Count(d => d.Space == match.Space) > MostDevices - 1)
                {
                    throw new VfioException(Errno.ENOSPC, What(match), $"the space has {MostDevices} devices");
                }

                _entries = [.. _entries, (match, new CountedEvent(events), key)];
            }
        }
        catch
        {
            events.Dispose();
            throw;
        }
    }

    internal void Clear()
    {
        (IoMatch Match, CountedEvent Events, ulong Key)[] gone;
        lock (_gate)
        {
            _closed = true;
            gone = _entries;
            _entries = [];
            _devices.Clear();
        }

        Array.ForEach(gone, static e => e.Events.Retire());
    }

    private static void Check(ulong address, uint width, bool hasValue)
    {
        CheckRange(address, width);
        if (width == 0 && hasValue)
        {
            throw new VfioException(Errno.EINVAL, "KVM_IOEVENTFD", "a value to match needs a width");
        }
    }

    private static void CheckRange(ulong address, uint width)
    {
        if (width is not (0 or 1 or 2 or 4 or 8))
        {
            throw new VfioException(Errno.EINVAL, "KVM_IOEVENTFD", $"writes are 1, 2, 4 or 8 bytes wide, not {width}");
        }

        if (address + width < address)
        {
            throw new VfioException(Errno.EINVAL, "KVM_IOEVENTFD", $"{width} bytes at 0x{address:x} wrap");
        }
    }

    private void CheckOpen(string what)
    {
        if (_closed)
        {
            throw new VfioException(Errno.EBADF, what, "the machine is destroyed");
        }
    }

    private static string What(IoMatch match) => $"an ioeventfd at 0x{match.Address:x} of {match.Space}";

    private static ulong KeyOf(IoMatch match, EventDescriptor events)
    {
        try
        {
            return events.Identity;
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, What(match), e.Message);
        }
        catch (ObjectDisposedException)
        {
            throw new VfioException(Errno.EBADF, What(match), "the eventfd is closed");
        }
    }
}
