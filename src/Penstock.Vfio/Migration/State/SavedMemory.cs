using System.Text;

namespace Penstock.Vfio;

/// <summary>
/// What has been saved of one memory, so that changes can be found: the last bytes that went out. Used on the strand.
/// </summary>
internal sealed class SavedMemory
{
    private readonly string _table;
    private readonly DeviceStateMemory _memory;
    private readonly byte[] _sent;
    private readonly int _overhead;
    private int _next;
    private int _look;

    public SavedMemory(string table, DeviceStateMemory memory)
    {
        _table = table;
        _memory = memory;
        _sent = new byte[memory.Memory.Length];
        _overhead = DeviceStateFormat.RecordHeader + 1 + Encoding.UTF8.GetByteCount(table) + 1 + Encoding.UTF8.GetByteCount(memory.Name) + sizeof(ulong);
    }

    /// <summary>Bytes in the stream that the first pass still takes.</summary>
    public ulong FirstPassBytes
    {
        get
        {
            int left = _sent.Length - _next;
            int records = (left + DeviceStateFormat.LargestPart - 1) / DeviceStateFormat.LargestPart;
            return (ulong)left + (ulong)((long)records * _overhead);
        }
    }

    public void Restart() => _next = 0;

    /// <summary>The next record of the first pass; null when it is done.</summary>
    public byte[]? TakeFirst()
    {
        if (_next == _sent.Length)
        {
            return null;
        }

        int start = _next;
        _next += Math.Min(DeviceStateFormat.LargestPart, _sent.Length - start);
        return Record(start, _next - start);
    }

    /// <summary>A record of what has changed since it went out; null when nothing has.</summary>
    public byte[]? TakeChanged()
    {
        // Goes on where the last record ended, once around, so that not every record looks at everything before it.
        int start = _look < _next ? _look : 0;
        return TakeChanged(start, _next) ?? TakeChanged(0, start);
    }

    /// <summary>Bytes in the stream that changes would take, about.</summary>
    public ulong ChangedBytes()
    {
        ulong bytes = 0;
        for (int page = 0; page < _next; page += DeviceStateFormat.Page)
        {
            bytes += IsChanged(page) ? (ulong)(LengthAt(page) + _overhead) : 0;
        }

        return bytes;
    }

    private byte[]? TakeChanged(int from, int to)
    {
        for (int page = from; page < to; page += DeviceStateFormat.Page)
        {
            if (!IsChanged(page))
            {
                continue;
            }

            int end = page;
            while (end < to && end - page < DeviceStateFormat.LargestPart && IsChanged(end))
            {
                end += LengthAt(end);
            }

            _look = end;
            return Record(page, end - page);
        }

        return null;
    }

    private int LengthAt(int page) => Math.Min(DeviceStateFormat.Page, _sent.Length - page);

    private bool IsChanged(int page)
    {
        int length = LengthAt(page);
        return !_memory.Memory.Span.Slice(page, length).SequenceEqual(_sent.AsSpan(page, length));
    }

    private byte[] Record(int start, int length)
    {
        _memory.Memory.Span.Slice(start, length).CopyTo(_sent.AsSpan(start));
        return new RecordBuilder(DeviceStateFormat.Memory)
            .Name(_table).Name(_memory.Name).Number((ulong)start).Raw(_sent.AsSpan(start, length))
            .Build();
    }
}
