namespace Penstock.Vfio;

/// <summary>
/// A hardware page table: what groups are attached to. Either a paging table, which follows an I/O address space, or one that is nested
/// on top of such a table and whose first stage its user writes.
/// </summary>
public abstract class HwPagetable : IommufdObject
{
    private protected HwPagetable(IommufdContext context, IommuUnit unit)
        : base(context) => Unit = unit;

    /// <summary>The IOMMU that it is for; only groups of this unit can be attached.</summary>
    public IommuUnit Unit { get; }

    /// <summary>Where page faults of attached devices go; null when they are answered as invalid at once.</summary>
    public FaultQueue? Faults { get; internal set; }

    /// <summary>Whether it was made with the flag PASID, so that DMA with a PASID can be attached to it.</summary>
    public bool IsForPasids { get; internal init; }

    /// <summary>The translation that attached groups use.</summary>
    public abstract IommuDomain Domain { get; }

    /// <summary>The paging table below, or this one.</summary>
    internal abstract PagingHwPagetable Paging { get; }

    /// <summary>Drops the fault queue. The gate is held.</summary>
    internal override void Destroyed()
    {
        if (Faults is { } faults)
        {
            faults.Users--;
            Faults = null;
        }
    }
}
