using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Tables;

/// <summary>Guest memory that only holds entries that were written.</summary>
internal sealed class TableMemory
{
    private readonly Dictionary<ulong, ulong> _entries = [];

    public ulong this[ulong address]
    {
        get => _entries[address];
        set => _entries[address] = value;
    }

    public bool TryRead(ulong address, out ulong entry)
    {
        Assert.Equal(0ul, address % ZpciIoTable.EntrySize);
        return _entries.TryGetValue(address, out entry);
    }
}
