using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// A stretch of real addresses behind which one piece of a user's memory is. It holds a reference on the memory and goes with its last page.
/// </summary>
internal sealed class RealBank(UserMemory memory, ulong memoryOffset, ulong iova, ulong size, DmaAccess access)
{
    private long _left = (long)(size / ZpciIoTable.PageSize);

    public UserMemory Memory => memory;

    public ulong MemoryOffset => memoryOffset;

    /// <summary>Where the mapping starts and ends that brought it; nothing for memory without a mapping.</summary>
    public IovaRange Range { get; } = new(iova, iova + (size - 1));

    public DmaAccess Access => access;

    /// <summary>Real address of the first byte.</summary>
    public ulong Base { get; set; }

    /// <summary>Pages have left the tables, and nobody uses them any more.</summary>
    /// <returns>Whether none is left.</returns>
    public bool Leave(long pages) => Interlocked.Add(ref _left, -pages) == 0;
}
