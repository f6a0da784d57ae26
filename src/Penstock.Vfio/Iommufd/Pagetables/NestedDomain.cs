using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A first-stage translation of a user. Calls are made one at a time, under the gate of the context.</summary>
public abstract class NestedDomain : IDisposable
{
    /// <summary>What attached groups use: both stages together.</summary>
    public abstract IommuDomain Domain { get; }

    /// <summary>Whether invalidations of a shape can be handled.</summary>
    /// <param name="dataType">Kind of the entries.</param>
    /// <param name="entryLength">Length of an entry in bytes.</param>
    /// <param name="count">How many will follow; 0 asks for the kind only.</param>
    /// <returns>None; EINVAL: another kind, or too short; EOPNOTSUPP.</returns>
    public virtual Errno CheckInvalidation(uint dataType, uint entryLength, uint count) => Errno.EOPNOTSUPP;

    /// <summary>Handles one invalidation of a checked shape.</summary>
    /// <param name="entry">The entry.</param>
    /// <returns>None, or the error.</returns>
    public virtual Errno Invalidate(ReadOnlySpan<byte> entry) => Errno.EOPNOTSUPP;

    /// <summary>Gives the translation back; no group uses it any more.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives the translation back.</summary>
    /// <param name="disposing">Always true.</param>
    protected abstract void Dispose(bool disposing);
}
