using Penstock.S390;

namespace Penstock.Hypervisor;

/// <summary>Reads table entries in guest memory, for whoever neither holds it nor is in a scope: each entry is read under the lock of the memory's slots.</summary>
/// <param name="memory">The memory.</param>
public readonly struct GuestTableReader(GuestMemory memory) : ITableReader
{
    private readonly GuestMemory _memory = memory;

    /// <inheritdoc/>
    public bool TryRead(ulong address, out ulong entry) => _memory.TryReadEntry(address, out entry);
}
