using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>
/// What carries out the mappings that <see cref="FallbackRefresh{TWalker}"/> finds: the map calls of a container, or of an I/O address space.
/// </summary>
public interface IDmaNotifier
{
    /// <summary>Maps guest memory for the device; nothing is mapped there.</summary>
    /// <param name="iova">I/O address.</param>
    /// <param name="address">Guest address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="writable">Whether the device may write.</param>
    /// <returns>None, or why it is not mapped.</returns>
    Errno Map(ulong iova, ulong address, ulong length, bool writable);

    /// <summary>Unmaps what is mapped in a stretch, be it nothing.</summary>
    /// <param name="iova">I/O address.</param>
    /// <param name="length">Length in bytes, never 0: all addresses there are come as two halves.</param>
    void Unmap(ulong iova, ulong length);
}
