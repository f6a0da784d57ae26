using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A domain that translates in this process: <see cref="SoftwareDomain"/> by a table of its own, others by tables of their platform's format, which
/// they walk. Translation may happen on any thread, inside a scope; whoever takes something away waits until no scope can still see it.
/// </summary>
public abstract partial class TranslatingDomain : IommuDomain
{
    /// <summary>The published table; 0 when disposed, or when the domain has no table of its own and walks.</summary>
    private protected nint _table;

    /// <summary>Creates a domain with scopes of its own.</summary>
    protected TranslatingDomain() => Places = new ScopePlaces();

    /// <summary>Creates a domain whose results are addresses in another one. Both have the same scopes, so what leaves that one is out of use here, too.</summary>
    /// <param name="below">The other domain, which stays as long as this one.</param>
    protected TranslatingDomain(TranslatingDomain below)
    {
        ArgumentNullException.ThrowIfNull(below);
        Places = below.Places;
    }

    /// <inheritdoc/>
    public override bool IsEnteredByCaller => Places.IsInside();

    internal ScopePlaces Places { get; }

    /// <summary>Only valid inside a scope that was entered before it was read.</summary>
    internal nint Table => Volatile.Read(ref _table);

    /// <summary>Enters a scope. See <see cref="DmaScope"/> for its rules.</summary>
    /// <returns>The scope; dispose it soon.</returns>
    public DmaScope Enter() => new(this);

    /// <inheritdoc/>
    public override void Drain()
    {
        ThrowIfEntered("waiting for accesses to end");
        Places.WaitForOthers();
    }

    /// <summary>As <see cref="Translate"/>, for a scope of this domain.</summary>
    internal Errno Walk(ulong iova, DmaAccess access, out DmaTarget target) => Translate(iova, access, out target);

    /// <summary>The memory behind an entry's index, for domains with a table of their own. Valid only inside the scope in which it was found.</summary>
    internal virtual UserMemory MemoryAt(int index) => throw new InvalidOperationException("the domain has no table of its own");

    /// <summary>The log of an entry's writes; null while nothing is tracked.</summary>
    internal virtual DirtyLog? LogAt(int index) => null;

    /// <summary>Starts or stops tracking what devices write; starting forgets what was seen before.</summary>
    /// <param name="enable">Whether to track.</param>
    /// <exception cref="VfioException">EOPNOTSUPP: the domain cannot; EDEADLK; ENOMEM: a mapping is too large for a log.</exception>
    internal virtual void SetDirtyTracking(bool enable)
    {
        if (enable)
        {
            throw new VfioException(Errno.EOPNOTSUPP, "tracking device writes", "this kind of IOMMU cannot");
        }
    }

    /// <summary>Runs of written bytes in a range, ascending; forgets them unless they are kept.</summary>
    /// <param name="range">The range; holes in it are no error.</param>
    /// <param name="keep">Whether the bits stay.</param>
    /// <returns>The runs.</returns>
    /// <exception cref="VfioException">EINVAL: not tracking.</exception>
    internal virtual List<IovaRange> CollectDirty(IovaRange range, bool keep) =>
        throw new VfioException(Errno.EINVAL, "reading dirty pages", "dirty tracking is off; enable it first");

    /// <summary>
    /// Translates one address by walking, for domains without a table of their own. Called inside a scope, on any thread and on many at once; it takes
    /// no lock that is held while waiting for scopes, allocates nothing and throws nothing. Memory that it gives must stay valid until the scope ends.
    /// </summary>
    /// <param name="iova">The I/O address.</param>
    /// <param name="access">What will be done.</param>
    /// <param name="target">Where it leads, and for how long.</param>
    /// <returns>None; EFAULT: not mapped, or the domain is gone; EPERM: mapped, but not for this access.</returns>
    protected virtual Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
    {
        target = default;
        return Errno.EFAULT;
    }

    /// <summary>Translates an address of the domain below, inside a scope; both have the same. As <see cref="Translate"/>.</summary>
    /// <param name="below">The domain that this one was created on.</param>
    /// <param name="address">The address there.</param>
    /// <param name="access">What will be done.</param>
    /// <param name="target">Where it leads, and for how long.</param>
    /// <returns>None; EFAULT: not mapped, or the domain is gone; EPERM: mapped, but not for this access.</returns>
    protected static unsafe Errno TranslateBelow(TranslatingDomain below, ulong address, DmaAccess access, out DmaTarget target)
    {
        ArgumentNullException.ThrowIfNull(below);
        nint table = below.Table;
        if (table == 0)
        {
            return below.Translate(address, access, out target);
        }

        target = default;

        // SAFETY: the table stays allocated while the scope lasts.
        TableEntry* entry = TranslationTable.Find((byte*)table, address);
        ulong offset = address - entry->Start;
        ulong mapped = Volatile.Read(ref entry->Length);
        if (offset >= mapped)
        {
            return Errno.EFAULT;
        }

        if ((entry->Flags & (int)access) != (int)access)
        {
            return Errno.EPERM;
        }

        UserMemory memory = below.MemoryAt(entry->Memory);
        ulong start = (entry->Flags & TableEntry.Direct) != 0 ? entry->Target - (ulong)memory.DirectAddress : entry->Target;
        target = new DmaTarget(memory, start + offset, mapped - offset);
        return Errno.None;
    }

    /// <summary>
    /// Returns when every scope that was entered before the call has been left: what was taken out of reach before can then be given back.
    /// </summary>
    protected void WaitForScopes() => Places.WaitForOthers();

    /// <summary>Refuses a change by a thread that would wait for itself.</summary>
    /// <param name="what">What was refused.</param>
    /// <exception cref="VfioException">EDEADLK.</exception>
    protected void ThrowIfEntered(string what)
    {
        if (IsEnteredByCaller)
        {
            throw new VfioException(Errno.EDEADLK, what, "the calling thread is inside a scope of the same address space; leave it first");
        }
    }
}
