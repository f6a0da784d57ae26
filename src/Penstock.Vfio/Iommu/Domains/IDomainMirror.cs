using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// What follows a domain's mappings outside of this process: a server that does a device's DMA, or hardware. The domain calls it around each change
/// of its own; calls for one domain come one at a time, and none is made inside a scope. One mirror belongs to one domain.
/// </summary>
public interface IDomainMirror
{
    /// <summary>A mapping is there from now on; it is translated in this process already. What this throws undoes it.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="memory">The memory; <see cref="UserMemory.Share"/> gives its file, if it has one.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory.</param>
    /// <exception cref="VfioException">It cannot be followed; the mapping fails with this error.</exception>
    void Mapped(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset);

    /// <summary>
    /// All mappings within a range are about to go. When it returns nobody outside uses them any more; it does not throw, for then there would
    /// be no way on.
    /// </summary>
    /// <param name="range">The range; no mapping is cut by its edges.</param>
    void Unmapping(IovaRange range);

    /// <summary>The group is about to be attached to the domain, from blocked or from another one. What this throws leaves it where it is.</summary>
    /// <param name="domain">The domain.</param>
    /// <exception cref="VfioException">The mappings cannot be followed.</exception>
    void Attaching(SoftwareDomain domain);

    /// <summary>The group has left the domain, for blocked or for another one; when it returns nobody outside uses its mappings.</summary>
    void Detached();
}
