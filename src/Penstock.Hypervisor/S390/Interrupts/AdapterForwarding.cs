using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// By which functions' interruptions reach guests: the table that firmware looks into (GAIT), the summary bits by which it tells the host about a
/// function that the host has to deliver for, and whose they are. Forwarding takes no lock, waits for nobody and allocates nothing.
/// </summary>
internal sealed class AdapterForwarding
{
    private const int BitsOfDoubleword = 64;
    private const int BitsOfByte = 8;

    private readonly Lock _gate = new();
    private readonly ZpciFirmware _firmware;
    private readonly AdapterInterrupts?[] _users;
    private readonly ZpciAipb _parameters;
    private readonly nint _summary;
    private readonly int _bits;
    private readonly int _subclass;
    private int _count;
    private bool _stopped = true;

    public AdapterForwarding(ZpciFirmware firmware, int subclass, int functions)
    {
        _firmware = firmware;
        _subclass = subclass;
        if (firmware.Parameters is { } registered)
        {
            // Firmware takes the tables once for each start of the host, so they are those of whoever was loaded first.
            if ((registered.ForwardingSubclass & ZpciAipb.SubclassMask) != subclass || registered.Entries < functions)
            {
                throw new VfioException(
                    Errno.EINVAL,
                    "loading a hypervisor",
                    $"firmware forwards {registered.Entries} functions with subclass {registered.ForwardingSubclass} until the host is started anew; use the same");
            }

            _parameters = registered;
        }
        else
        {
            _parameters = Allocate(firmware, subclass, functions);
            if (!firmware.SetNotificationControls(_parameters))
            {
                throw new VfioException(Errno.EIO, "loading a hypervisor", "firmware refused the tables for adapter events of guests");
            }
        }

        _users = new AdapterInterrupts?[functions];
        _bits = (_parameters.Entries + BitsOfDoubleword - 1) / BitsOfDoubleword * BitsOfDoubleword;
        _summary = firmware.Storage.Resolve(_parameters.SummaryVector);
    }

    /// <summary>How many functions have an entry.</summary>
    public int Count => Volatile.Read(ref _count);

    public void Start()
    {
        Volatile.Write(ref _stopped, false);
        _firmware.SetSingle(_subclass);
    }

    public void Stop() => Volatile.Write(ref _stopped, true);

    /// <summary>Takes a free entry and fills it.</summary>
    /// <returns>Its number.</returns>
    /// <exception cref="VfioException">ENOMEM: none is free.</exception>
    public int Add(string what, AdapterInterrupts user, ZpciGaitEntry entry)
    {
        lock (_gate)
        {
            int index = Array.IndexOf(_users, null);
            if (index < 0)
            {
                throw new VfioException(Errno.ENOMEM, what, $"interruptions of {_users.Length} functions are forwarded already; there are no more summary bits");
            }

            entry.Count++;
            entry.Write(Entry(index));
            Volatile.Write(ref _users[index], user);
            Volatile.Write(ref _count, _count + 1);
            return index;
        }
    }

    /// <summary>Clears an entry. Firmware has let go of it; when this returns the host has too.</summary>
    public void Remove(int index, AdapterInterrupts user)
    {
        lock (_gate)
        {
            ZpciGaitEntry entry = ZpciGaitEntry.Read(Entry(index));
            entry.Count--;
            Volatile.Write(ref _users[index], null);
            user.Gate.Close();
            Entry(index).Clear();
            IndicatorBits.TestAndClear(_summary, (uint)index);
            Volatile.Write(ref _count, _count - 1);
        }
    }

    /// <summary>Address of the word of the host's summary bits with an entry's bit, and which bit it is there.</summary>
    public (ulong Address, int Offset) SummaryOf(int index) =>
        (_parameters.SummaryVector + (ulong)(index / BitsOfDoubleword * (BitsOfDoubleword / BitsOfByte)), index % BitsOfDoubleword);

    /// <summary>The entry as firmware sees it.</summary>
    public ZpciGaitEntry Read(int index) => ZpciGaitEntry.Read(Entry(index));

    /// <summary>
    /// The host was told that firmware left something to it: forwards what the summary bits name, lets interruptions come again, and looks once more,
    /// until nothing came in between.
    /// </summary>
    public void Scan()
    {
        if (Volatile.Read(ref _stopped))
        {
            return;
        }

        bool isFirst = true;
        bool found = false;
        int at = 0;
        while (true)
        {
            at = IndicatorBits.TakeNext(_summary, at, _bits);
            if (at >= 0)
            {
                found = true;
                Forward(at);
                continue;
            }

            if (!isFirst && !found)
            {
                return;
            }

            _firmware.SetSingle(_subclass);
            isFirst = false;
            found = false;
            at = 0;
        }
    }

    private static ZpciAipb Allocate(ZpciFirmware firmware, int subclass, int functions)
    {
        int entries = (functions + BitsOfDoubleword - 1) / BitsOfDoubleword * BitsOfDoubleword;
        return new ZpciAipb
        {
            SummaryVector = firmware.Storage.Allocate(entries / BitsOfByte, BitsOfDoubleword),
            Table = firmware.Storage.Allocate(entries * ZpciGaitEntry.Length, BitsOfDoubleword),
            ForwardingSubclass = (ushort)subclass,
            Entries = (ushort)functions,
        };
    }

    private void Forward(int index)
    {
        AdapterInterrupts? user = index < _users.Length ? Volatile.Read(ref _users[index]) : null;
        if (user is null || !user.Gate.TryEnter())
        {
            return;
        }

        try
        {
            ZpciGaitEntry entry = ZpciGaitEntry.Read(Entry(index));
            if (entry.Count == 0)
            {
                return;
            }

            if (entry.SummaryAddress != 0)
            {
                IndicatorBits.TestAndSet(_firmware.Storage.Resolve(entry.SummaryAddress), entry.SummaryOffset);
            }

            user.Gisa.Forward(entry.Subclass);
        }
        finally
        {
            user.Gate.Leave();
        }
    }

    private Span<byte> Entry(int index) => _firmware.Storage.Bytes((uint)_parameters.Table + (uint)(index * ZpciGaitEntry.Length), ZpciGaitEntry.Length);
}
