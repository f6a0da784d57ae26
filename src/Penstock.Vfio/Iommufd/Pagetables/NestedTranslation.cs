namespace Penstock.Vfio;

/// <summary>
/// A kind of first-stage translation that an IOMMU unit can nest on top of a paging table, named by the type of data that its user hands in.
/// </summary>
public abstract class NestedTranslation
{
    /// <summary>The data type in HWPT_ALLOC.</summary>
    public abstract uint DataType { get; }

    /// <summary>Shortest data that is accepted, in bytes.</summary>
    public abstract int MinimumDataLength { get; }

    /// <summary>Makes the translation.</summary>
    /// <param name="parent">What the first stage's results are addresses in.</param>
    /// <param name="data">The user's data, at least <see cref="MinimumDataLength"/> bytes.</param>
    /// <returns>The translation; the page table owns it.</returns>
    /// <exception cref="VfioException">The data is refused.</exception>
    public abstract NestedDomain Create(PagingHwPagetable parent, ReadOnlySpan<byte> data);
}
