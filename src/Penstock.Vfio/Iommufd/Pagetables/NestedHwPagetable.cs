using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>A hardware page table whose first stage its user owns, on top of a paging table. All members may be called from any thread.</summary>
public sealed class NestedHwPagetable : HwPagetable
{
    private readonly NestedDomain _nested;

    internal NestedHwPagetable(PagingHwPagetable parent, NestedDomain nested)
        : base(parent.Context, parent.Unit)
    {
        Parent = parent;
        _nested = nested;
    }

    /// <summary>The table below.</summary>
    public PagingHwPagetable Parent { get; }

    /// <inheritdoc/>
    public override IommuDomain Domain => _nested.Domain;

    internal override PagingHwPagetable Paging => Parent;

    internal override int DestroyOrder => 2;

    /// <summary>The user has changed its stage: drops what was kept of it (HWPT_INVALIDATE).</summary>
    /// <param name="dataType">Kind of the entries.</param>
    /// <param name="entryLength">Length of an entry in bytes.</param>
    /// <param name="count">How many; 0 asks whether the kind is known.</param>
    /// <param name="entries">The entries, one after the other.</param>
    /// <returns>How many were handled before the error, and the error.</returns>
    public (uint Handled, Errno Error) Invalidate(uint dataType, uint entryLength, uint count, ReadOnlySpan<byte> entries)
    {
        if (count != 0 && (!IsEntryShape(entryLength, count) || (ulong)entries.Length < (ulong)entryLength * count))
        {
            return (0, Errno.EINVAL);
        }

        lock (Context.Gate)
        {
            Errno errno = IsDestroyed ? Errno.ENOENT : _nested.CheckInvalidation(dataType, entryLength, count);
            uint handled = 0;
            while (errno == Errno.None && handled < count)
            {
                errno = _nested.Invalidate(entries.Slice((int)(handled * entryLength), (int)entryLength));
                handled += errno == Errno.None ? 1u : 0;
            }

            return (handled, errno);
        }
    }

    internal static bool IsEntryShape(uint entryLength, uint count) =>
        entryLength != 0 && entryLength <= (uint)Environment.SystemPageSize && count <= IommufdLimits.InvalidateEntries;

    internal Errno CheckInvalidation(uint dataType, uint entryLength, uint count) => _nested.CheckInvalidation(dataType, entryLength, count);

    internal Errno Invalidate(ReadOnlySpan<byte> entry) => _nested.Invalidate(entry);

    internal override void Destroyed()
    {
        base.Destroyed();
        Parent.Users--;
        _nested.Dispose();
    }
}
