using System.Text;

namespace Penstock.Vfio;

/// <summary>What has been read of one table, kept aside until everything is there.</summary>
internal sealed class LoadedTable
{
    private readonly byte[]?[] _fields;
    private readonly byte[]?[] _memories;
    private readonly bool[][] _pages;
    private int _version;

    public LoadedTable(DeviceStateTable table)
    {
        Table = table;
        _fields = new byte[table.Fields.Count][];
        _memories = new byte[table.Memories.Count][];
        _pages = [.. table.Memories.Select(static m => new bool[(m.Memory.Length + DeviceStateFormat.Page - 1) / DeviceStateFormat.Page])];
        LongestRecord = table.Fields.Sum(static f => 1 + Encoding.UTF8.GetByteCount(f.Name) + sizeof(uint) + f.Length);
    }

    public DeviceStateTable Table { get; }

    public int LongestRecord { get; }

    /// <summary>Memory begins anew.</summary>
    public void Restart() => Array.ForEach(_pages, static p => Array.Clear(p));

    public string? TakeFields(ref RecordCursor record)
    {
        if (_version != 0)
        {
            return $"table {Table.Name} is there twice";
        }

        _version = record.UInt16();
        if (_version < 1 || _version > Table.Version)
        {
            return $"table {Table.Name} has version {_version}, this device knows 1 to {Table.Version}";
        }

        for (int left = record.UInt16(); left > 0; left--)
        {
            string name = record.Name();
            uint length = record.UInt32();
            int index = IndexOf(Table.Fields, f => f.Name == name);
            if (index < 0 || Table.Fields[index].Since > _version)
            {
                return $"table {Table.Name} of version {_version} has no field {PeerText.Quote(name)}";
            }

            if (length != (uint)Table.Fields[index].Length || _fields[index] is not null)
            {
                return $"{Table.Name}.{name} has {length} bytes instead of {Table.Fields[index].Length}, or is there twice";
            }

            _fields[index] = record.Bytes((int)length).ToArray();
            if (_fields[index]!.Length != (int)length)
            {
                return $"{Table.Name}.{name} is cut off";
            }
        }

        return null;
    }

    public string? TakeMemory(ref RecordCursor record)
    {
        string name = record.Name();
        ulong offset = record.UInt64();
        ReadOnlySpan<byte> bytes = record.All();
        int index = IndexOf(Table.Memories, m => m.Name == name);
        if (index < 0)
        {
            return $"table {Table.Name} has no memory {PeerText.Quote(name)}";
        }

        int length = Table.Memories[index].Memory.Length;
        if (offset % DeviceStateFormat.Page != 0 || offset > (ulong)length || (ulong)bytes.Length > (ulong)length - offset)
        {
            return $"{bytes.Length} bytes at 0x{offset:x} do not lie in {Table.Name}.{name}, which has {length}";
        }

        int end = (int)offset + bytes.Length;
        if (end % DeviceStateFormat.Page != 0 && end != length)
        {
            return $"{Table.Name}.{name} is there with half a page";
        }

        bytes.CopyTo((_memories[index] ??= new byte[length]).AsSpan((int)offset));
        for (int page = (int)offset / DeviceStateFormat.Page; page * DeviceStateFormat.Page < end; page++)
        {
            _pages[index][page] = true;
        }

        return null;
    }

    /// <summary>Says what keeps it from being loaded.</summary>
    public string? Check()
    {
        if (_version == 0)
        {
            return $"table {Table.Name} is missing";
        }

        for (int i = 0; i < _fields.Length; i++)
        {
            DeviceStateField field = Table.Fields[i];
            if (_fields[i] is not { } value)
            {
                if (field.Since <= _version)
                {
                    return $"{Table.Name}.{field.Name} is missing";
                }

                continue;
            }

            string? wrong = Contain(field.Name, () => field.Check?.Invoke(value));
            if (wrong is not null)
            {
                return wrong;
            }
        }

        int memory = IndexOf(Table.Memories, m => m.Since <= _version && Array.Exists(_pages[IndexOf(Table.Memories, n => n == m)], static p => !p));
        return memory < 0 ? null : $"part of {Table.Name}.{Table.Memories[memory].Name} is missing";
    }

    /// <summary>Puts it into the device. On the strand.</summary>
    public string? Load()
    {
        for (int i = 0; i < _memories.Length; i++)
        {
            _memories[i]?.CopyTo(Table.Memories[i].Memory);
        }

        for (int i = 0; i < _fields.Length; i++)
        {
            if (_fields[i] is not { } value)
            {
                continue;
            }

            DeviceStateField field = Table.Fields[i];
            string? wrong = Contain(field.Name, () =>
            {
                field.Load(value);
                return null;
            });
            if (wrong is not null)
            {
                return wrong;
            }
        }

        return null;
    }

    private static int IndexOf<T>(IReadOnlyList<T> list, Predicate<T> match)
    {
        for (int i = 0; i < list.Count; i++)
        {
            if (match(list[i]))
            {
                return i;
            }
        }

        return -1;
    }

    private string? Contain(string field, Func<string?> call)
    {
        try
        {
            return call() is { } wrong ? $"{Table.Name}.{field}: {wrong}" : null;
        }
        catch (Exception e)
        {
            return $"{Table.Name}.{field}: {e.GetType().Name}: {e.Message}";
        }
    }
}
