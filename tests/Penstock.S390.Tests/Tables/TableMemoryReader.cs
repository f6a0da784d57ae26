namespace Penstock.S390.Tests.Tables;

internal readonly struct TableMemoryReader(TableMemory memory) : ITableReader
{
    public bool TryRead(ulong address, out ulong entry) => memory.TryRead(address, out entry);
}
