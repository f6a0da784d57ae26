namespace Penstock.S390;

/// <summary>Reads I/O table entries. Implemented by structs, so that each walk is compiled for its reader. Must not throw or allocate.</summary>
public interface ITableReader
{
    /// <summary>Reads an entry at one go: the guest may change it at the same moment.</summary>
    /// <param name="address">Address of the entry, a multiple of 8.</param>
    /// <param name="entry">The entry as a number, which memory has big-endian; 0 where there is no memory.</param>
    /// <returns>Whether there is memory.</returns>
    bool TryRead(ulong address, out ulong entry);
}
