namespace Penstock.Hypervisor;

/// <summary>How a tapped guest's interrupts went that did not all go to QEMU.</summary>
/// <param name="Indicated">Interrupts whose bit was set directly in the guest's vector.</param>
/// <param name="Prods">Those of them that QEMU was told of, by the vector's eventfd, since the guest's summary bit was clear.</param>
public readonly record struct TapInterruptCounters(long Indicated, long Prods)
{
    /// <summary>Those that the guest finds by itself, so that nobody was told.</summary>
    public long ProdsSaved => Indicated - Prods;
}
