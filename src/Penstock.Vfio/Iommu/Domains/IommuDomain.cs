namespace Penstock.Vfio;

/// <summary>
/// A translation from I/O addresses to memory that groups are attached to. Control calls only; a domain that also translates in this
/// process is a <see cref="TranslatingDomain"/>. Map and unmap may be called from any thread and are serialised by the domain.
/// </summary>
public abstract class IommuDomain : IDisposable
{
    /// <summary>Addresses that can be mapped.</summary>
    public abstract IovaRange Aperture { get; }

    /// <summary>Page sizes, one bit each.</summary>
    public abstract ulong PageSizes { get; }

    /// <summary>Number of mappings.</summary>
    public abstract int Count { get; }

    /// <summary>Whether the calling thread is inside a scope of the domain, so that changing it would wait for itself.</summary>
    public virtual bool IsEnteredByCaller => false;

    /// <summary>Maps memory. The domain holds a reference on the memory until the mapping is removed.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes, at least 1; the end may be exactly 2^64.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="memory">The memory.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory.</param>
    /// <exception cref="VfioException">
    /// EEXIST: something in the range is mapped; EFAULT: the range is not in the memory; EINVAL; EDEADLK: the calling thread is in a
    /// scope of the domain.
    /// </exception>
    public abstract void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset);

    /// <summary>Removes every mapping that lies within the range. When it returns no access through them is in progress.</summary>
    /// <param name="range">The range.</param>
    /// <returns>Bytes removed; 0 also for the whole address space.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: a mapping is cut by an edge of the range, and nothing is removed; EDEADLK: the calling thread is in a scope of the
    /// domain.
    /// </exception>
    public abstract ulong Unmap(IovaRange range);

    /// <summary>
    /// The memory of a mapping is found at another place from now on. Accesses go on meanwhile; when it returns none uses the old place. A
    /// domain that keeps the pages themselves has nothing to do.
    /// </summary>
    /// <param name="iova">First I/O address of the mapping.</param>
    /// <param name="memory">The memory; the domain holds a reference on it from now on, and none on the old one.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory.</param>
    /// <exception cref="VfioException">
    /// EINVAL: no mapping starts there; EFAULT: not in the memory, or more than it allows; EDEADLK: the calling thread is in a scope of the
    /// domain.
    /// </exception>
    public virtual void Replace(ulong iova, UserMemory memory, ulong memoryOffset)
    {
    }

    /// <summary>Returns when every access that was in progress at the call has ended.</summary>
    /// <exception cref="VfioException">EDEADLK: the calling thread is in a scope of the domain.</exception>
    public abstract void Drain();

    /// <summary>
    /// Whether a group has to be blocked before the platform is told of the domain, see <see cref="Register"/>. Other domains take a group over
    /// from its old one without a gap.
    /// </summary>
    /// <param name="group">The group.</param>
    /// <returns>Whether it has.</returns>
    protected internal virtual bool BlocksFirst(IommuGroup group) => false;

    /// <summary>
    /// A group is about to be attached; what this throws leaves it where it is. Whoever changes a group's domain holds the lock of what the
    /// group is in.
    /// </summary>
    /// <param name="group">The group.</param>
    protected internal virtual void Attaching(IommuGroup group)
    {
    }

    /// <summary>
    /// Tells the platform where a group's functions find the tables, after <see cref="Attaching"/> and only with <see cref="BlocksFirst"/>. What this
    /// throws leaves the group blocked, and <see cref="Detached"/> is not called for it.
    /// </summary>
    /// <param name="group">The group, blocked.</param>
    protected internal virtual void Register(IommuGroup group)
    {
    }

    /// <summary>A group has left; nothing of it is in progress any more.</summary>
    /// <param name="group">The group.</param>
    protected internal virtual void Detached(IommuGroup group)
    {
    }

    /// <summary>Removes everything.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Removes everything.</summary>
    /// <param name="disposing">Always true.</param>
    protected abstract void Dispose(bool disposing);
}
