using System.Buffers.Binary;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A device's state on its way in. Everything is kept aside and checked; only <see cref="Finish"/> changes the device. What it keeps is
/// bounded by what the device declares.
/// </summary>
internal sealed class DeviceStateReader : MigrationTarget
{
    // Names and lengths around the bytes of a record.
    private const int Around = 1024;

    private readonly string _identity;
    private readonly Strand _strand;
    private readonly Action? _loading;
    private readonly Action? _loaded;
    private readonly LoadedTable[] _tables;
    private readonly int _longest;
    private readonly byte[] _head = new byte[DeviceStateFormat.RecordHeader];
    private byte[] _payload = [];
    private int _have;
    private uint _sum;
    private uint _records;
    private bool _started;
    private bool _ended;
    private string? _wrong;

    public DeviceStateReader(string identity, Strand strand, IReadOnlyList<DeviceStateTable> tables, Action? loading, Action? loaded)
    {
        _identity = identity;
        _strand = strand;
        _loading = loading;
        _loaded = loaded;
        _tables = [.. tables.Select(static t => new LoadedTable(t))];
        _longest = _tables.Max(static t => t.LongestRecord) + DeviceStateFormat.LargestPart + Around;
    }

    public override Errno Write(ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty && _wrong is null)
        {
            source = source[Take(source)..];
        }

        return _wrong is null ? Errno.None : Errno.EINVAL;
    }

    public override void Finish()
    {
        string? wrong = _wrong;
        if (wrong is null && !_ended)
        {
            wrong = _have == 0 ? "it has no end" : "it ends inside a record";
        }

        if (wrong is null)
        {
            _strand.RunOn(() => wrong = Load());
        }

        if (wrong is not null)
        {
            throw new VfioException(Errno.EINVAL, $"loading the state of {_identity}", $"{wrong}; reset the device and send the state again");
        }
    }

    /// <summary>Takes part of a record.</summary>
    private int Take(ReadOnlySpan<byte> source)
    {
        if (_ended)
        {
            _wrong = "there is something behind its end";
            return source.Length;
        }

        int taken = 0;
        if (_have < DeviceStateFormat.RecordHeader)
        {
            taken = Math.Min(DeviceStateFormat.RecordHeader - _have, source.Length);
            source[..taken].CopyTo(_head.AsSpan(_have));
            _have += taken;
            if (_have < DeviceStateFormat.RecordHeader)
            {
                return taken;
            }

            uint length = BinaryPrimitives.ReadUInt32LittleEndian(_head.AsSpan(sizeof(uint)));
            if (length > (uint)_longest)
            {
                _wrong = $"a record of {length} bytes is longer than any of this device ({_longest} bytes)";
                return taken;
            }

            _payload = new byte[length];
            source = source[taken..];
        }

        int at = _have - DeviceStateFormat.RecordHeader;
        int count = Math.Min(_payload.Length - at, source.Length);
        source[..count].CopyTo(_payload.AsSpan(at));
        _have += count;
        if (at + count == _payload.Length)
        {
            _have = 0;
            _wrong = TakeRecord(BinaryPrimitives.ReadUInt32LittleEndian(_head));
        }

        return taken + count;
    }

    /// <summary>Takes a whole record; says what is wrong with it.</summary>
    private string? TakeRecord(uint kind)
    {
        var record = new RecordCursor(_payload);
        string? wrong = !_started && kind != DeviceStateFormat.Start ? "it does not begin as a state does" : kind switch
        {
            DeviceStateFormat.Start => TakeStart(ref record),
            DeviceStateFormat.Fields or DeviceStateFormat.Memory => TakeTable(kind, ref record),
            DeviceStateFormat.Restart => TakeRestart(),
            DeviceStateFormat.End => TakeEnd(ref record),
            _ => $"there is a record of unknown kind {kind}",
        };
        _sum = DeviceStateFormat.Add(DeviceStateFormat.Add(_sum, _head), _payload);
        _records++;
        return wrong ?? (record.IsAtEnd ? null : $"a record of kind {kind} is longer or shorter than what it holds");
    }

    private string? TakeStart(ref RecordCursor record)
    {
        if (_started)
        {
            return "it begins twice";
        }

        _started = true;
        if (!record.Bytes(DeviceStateFormat.Magic.Length).SequenceEqual(DeviceStateFormat.Magic))
        {
            return "it does not begin as a state does";
        }

        if (record.UInt16() is var version and not DeviceStateFormat.Version)
        {
            return $"its format is version {version}, only {DeviceStateFormat.Version} is known";
        }

        string identity = record.Rest();
        return identity == _identity ? null : $"it is of another device, {PeerText.Quote(identity)}";
    }

    private string? TakeTable(uint kind, ref RecordCursor record)
    {
        string name = record.Name();
        LoadedTable? table = Array.Find(_tables, t => t.Table.Name == name);
        return table is null ? $"this device has no table {PeerText.Quote(name)}"
            : kind == DeviceStateFormat.Fields ? table.TakeFields(ref record)
            : table.TakeMemory(ref record);
    }

    private string? TakeRestart()
    {
        foreach (LoadedTable table in _tables)
        {
            table.Restart();
        }

        return null;
    }

    private string? TakeEnd(ref RecordCursor record)
    {
        _ended = true;
        uint sum = record.UInt32();
        uint records = record.UInt32();
        return sum != _sum ? "its checksum is wrong: it was altered on the way"
            : records != _records ? $"it has {_records} records instead of {records}"
            : null;
    }

    /// <summary>Checks everything, then puts it into the device. On the strand.</summary>
    private string? Load()
    {
        foreach (LoadedTable table in _tables)
        {
            if (table.Check() is { } wrong)
            {
                return wrong;
            }
        }

        // Resets happen on the strand too, so none can come from here on.
        if (HasEnded)
        {
            return "the device was reset meanwhile";
        }

        try
        {
            _loading?.Invoke();
        }
        catch (Exception e)
        {
            return $"the device could not be reset before it: {e.GetType().Name}: {e.Message}";
        }

        foreach (LoadedTable table in _tables)
        {
            if (table.Load() is { } wrong)
            {
                return wrong;
            }
        }

        try
        {
            _loaded?.Invoke();
            return null;
        }
        catch (Exception e)
        {
            return $"the device did not take it: {e.GetType().Name}: {e.Message}";
        }
    }
}
