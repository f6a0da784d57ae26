using System.Buffers.Binary;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <content>The way of an interruption.</content>
public sealed unsafe partial class ZpciFirmware
{
    private const int BitsOfByte = 8;

    /// <summary>Number of the entry for a function whose summary bit is in the host's vector; -1 for any other bit, and without notification.</summary>
    internal int EntryOf(ulong summary, int offset)
    {
        lock (_gate)
        {
            if (!_isNotifying || summary < _parameters.SummaryVector)
            {
                return -1;
            }

            ulong entry = ((summary - _parameters.SummaryVector) * BitsOfByte) + (uint)offset;
            return entry < _parameters.Entries ? (int)entry : -1;
        }
    }

    internal bool Deliver(InterruptRegistration to, int vector)
    {
        if ((uint)vector >= (uint)to.Count)
        {
            return false;
        }

        IndicatorBits.TestAndSet(to.Vector, to.VectorOffset + (uint)vector);
        if (to.Entry >= 0)
        {
            Notify(to.Entry);
        }
        else if (!to.HasSummary || !IndicatorBits.TestAndSet(to.Summary, to.SummaryOffset))
        {
            Present(new HostInterrupt(to.Subclass));
        }

        return true;
    }

    /// <summary>
    /// A subclass has become pending in an area: nobody has to be told while a processor of the guest runs, since it takes it. Otherwise the area goes
    /// to the alert list, and nothing alerts from it until the host says so again.
    /// </summary>
    internal void Alert(ZpciGuest guest)
    {
        nint origin = Volatile.Read(ref _alertOrigin);
        if (guest.IsRunning || origin == 0)
        {
            return;
        }

        GisaArea area = guest.Area;
        GisaWord seen = area.Word;
        uint first;
        do
        {
            if (seen.NextAlert != area.Address || (seen.Pending & seen.Alerting) == 0)
            {
                return;
            }

            first = ReadOrigin(origin);
        }
        while (!area.TryReplace(ref seen, seen with { NextAlert = first, Alerting = 0 }));

        while (!TryReplaceOrigin(origin, ref first, area.Address))
        {
            // Others were faster. It is in the list from the host's view only once the origin names it, so its link may still change.
            seen = area.Word;
            while (!area.TryReplace(ref seen, seen with { NextAlert = first }))
            {
            }
        }

        guest.CountAlert();
        if (first == 0)
        {
            Raise(new HostInterrupt(_alertSubclass));
        }
    }

    /// <summary>An event of a function that a guest has: to the guest, or to the host that is to see to it.</summary>
    private void Notify(int index)
    {
        // SAFETY: the table has as many entries as were registered.
        ZpciGaitEntry entry = ZpciGaitEntry.Read(new ReadOnlySpan<byte>((byte*)_table + (index * ZpciGaitEntry.Length), ZpciGaitEntry.Length));
        ZpciGuest? guest = entry.Designation == 0 || !CanReachGuests ? null : GuestAt(entry.Designation);
        if (guest is null)
        {
            IndicatorBits.TestAndSet(_summary, (uint)index);
            Interlocked.Increment(ref _forwarded);
            Present(new HostInterrupt(_parameters.ForwardingSubclass & ZpciAipb.SubclassMask, IsForwarded: true));
            return;
        }

        if (entry.SummaryAddress != 0 && IndicatorBits.TestAndSet(Storage.Resolve(entry.SummaryAddress), entry.SummaryOffset))
        {
            return;
        }

        Post(guest, GisaArea.MaskOf(entry.Subclass));
    }

    private void Post(ZpciGuest guest, byte mask)
    {
        GisaWord seen = guest.Area.Word;
        do
        {
            if (seen.Modes.HoldsBack(mask))
            {
                guest.CountSuppressed();
                return;
            }
        }
        while (!guest.Area.TryReplace(ref seen, seen with { Pending = (byte)(seen.Pending | mask) }));

        guest.CountPosted();
        Alert(guest);
    }

    private ZpciGuest? GuestAt(uint designation)
    {
        uint index = designation / ZpciGisa.Alignment;
        return index < (uint)_guests.Length ? Volatile.Read(ref _guests[index]) : null;
    }

    /// <summary>Tells the host, unless it was told and has not asked to be told again: then it will look by itself.</summary>
    private void Present(in HostInterrupt interrupt)
    {
        ref int mode = ref _modes[interrupt.Subclass];
        if (Volatile.Read(ref mode) == ModeAll || Interlocked.CompareExchange(ref mode, ModeTold, ModeArmed) == ModeArmed)
        {
            Raise(interrupt);
        }
    }

    private static uint ReadOrigin(nint origin)
    {
        // SAFETY: the block is there until the host has taken it back and no guest is left.
        return FromStorage(Volatile.Read(ref *(uint*)origin));
    }

    private static bool TryReplaceOrigin(nint origin, ref uint seen, uint value)
    {
        uint expected = FromStorage(seen);

        // SAFETY: as above.
        uint found = Interlocked.CompareExchange(ref *(uint*)origin, FromStorage(value), expected);
        seen = FromStorage(found);
        return found == expected;
    }

    private static uint FromStorage(uint value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
