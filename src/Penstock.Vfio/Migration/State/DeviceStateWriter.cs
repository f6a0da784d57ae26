using System.Text;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A device's state on its way out. Until the device is stopped only its memory goes, then the rest.</summary>
internal sealed class DeviceStateWriter : MigrationSource
{
    private readonly Strand _strand;
    private readonly IReadOnlyList<DeviceStateTable> _tables;
    private readonly List<SavedMemory> _memories = [];
    private readonly Queue<byte[]> _queue = new();
    private readonly List<byte[]> _fields = [];
    private readonly int[] _generations;
    private byte[] _record = [];
    private int _position;
    private ulong _initialQueued;
    private uint _sum;
    private uint _records;
    private bool _stopped;
    private bool _ended;

    public DeviceStateWriter(string identity, Strand strand, IReadOnlyList<DeviceStateTable> tables, bool stopped)
    {
        _strand = strand;
        _tables = tables;
        _generations = [.. tables.Select(static t => t.Generation)];
        foreach (DeviceStateTable table in tables)
        {
            _memories.AddRange(table.Memories.Select(m => new SavedMemory(table.Name, m)));
        }

        QueueInitial(new RecordBuilder(DeviceStateFormat.Start)
            .Raw(DeviceStateFormat.Magic).Number(DeviceStateFormat.Version).Raw(Encoding.UTF8.GetBytes(identity))
            .Build());
        if (stopped)
        {
            DeviceStopped();
        }
    }

    public override ulong InitialBytes => _initialQueued + _memories.Aggregate(0ul, static (sum, m) => sum + m.FirstPassBytes);

    public override ulong DirtyBytes
    {
        get
        {
            ulong bytes = (ulong)(_record.Length - _position) + _queue.Aggregate(0ul, static (sum, r) => sum + (ulong)r.Length) - _initialQueued;
            _strand.RunOn(() => bytes = _memories.Aggregate(bytes, static (sum, m) => sum + m.ChangedBytes()));
            return bytes;
        }
    }

    public override Errno Read(Span<byte> destination, out int read)
    {
        read = 0;
        while (read < destination.Length)
        {
            if (_position == _record.Length && !TakeRecord())
            {
                return read != 0 || _ended ? Errno.None : Errno.ENOMSG;
            }

            int count = Math.Min(destination.Length - read, _record.Length - _position);
            _record.AsSpan(_position, count).CopyTo(destination[read..]);
            _position += count;
            read += count;
            _initialQueued -= Math.Min(_initialQueued, (ulong)count);
        }

        return Errno.None;
    }

    public override void DeviceStopped()
    {
        // The fields now, so that accesses of users meanwhile do no harm; they go out behind the memory.
        _strand.RunOn(() =>
        {
            _fields.Clear();
            _fields.AddRange(_tables.Select(Fields));
        });
        _stopped = true;
    }

    public override bool TakeRestart()
    {
        bool restart = false;
        for (int i = 0; i < _tables.Count; i++)
        {
            restart |= _generations[i] != _tables[i].Generation;
            _generations[i] = _tables[i].Generation;
        }

        if (restart)
        {
            QueueInitial(new RecordBuilder(DeviceStateFormat.Restart).Build());
            _initialQueued = (ulong)(_record.Length - _position) + _queue.Aggregate(0ul, static (sum, r) => sum + (ulong)r.Length);
            _memories.ForEach(static m => m.Restart());
        }

        return restart;
    }

    private static byte[] Fields(DeviceStateTable table)
    {
        RecordBuilder record = new RecordBuilder(DeviceStateFormat.Fields)
            .Name(table.Name).Number((ushort)table.Version).Number((ushort)table.Fields.Count);
        foreach (DeviceStateField field in table.Fields)
        {
            byte[] value = new byte[field.Length];
            field.Save(value);
            record.Name(field.Name).Number((uint)value.Length).Raw(value);
        }

        return record.Build();
    }

    private void QueueInitial(byte[] record)
    {
        _queue.Enqueue(record);
        _initialQueued += (ulong)record.Length;
    }

    /// <summary>The next record; false when there is none now.</summary>
    private bool TakeRecord()
    {
        if (_ended)
        {
            return false;
        }

        if (!_queue.TryDequeue(out byte[]? record))
        {
            bool first = false;
            _strand.RunOn(() => record = TakeMemory(out first));
            _initialQueued += first ? (ulong)record!.Length : 0;
        }

        if (record is null)
        {
            if (!_stopped)
            {
                return false;
            }

            _fields.ForEach(_queue.Enqueue);
            _fields.Clear();
            if (!_queue.TryDequeue(out record))
            {
                record = new RecordBuilder(DeviceStateFormat.End).Number(_sum).Number(_records).Build();
                _ended = true;
            }
        }

        _sum = DeviceStateFormat.Add(_sum, record);
        _records++;
        _record = record;
        _position = 0;
        return true;
    }

    private byte[]? TakeMemory(out bool first)
    {
        first = true;
        foreach (SavedMemory memory in _memories)
        {
            if (memory.TakeFirst() is { } record)
            {
                return record;
            }
        }

        first = false;
        foreach (SavedMemory memory in _memories)
        {
            if (memory.TakeChanged() is { } record)
            {
                return record;
            }
        }

        return null;
    }
}
