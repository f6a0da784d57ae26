namespace Penstock.Specs.Vfio;

/// <summary>Interrupt indices of PCI devices (<c>VFIO_PCI_*_IRQ_INDEX</c> of linux/vfio.h).</summary>
public static class VfioIrqs
{
    /// <summary>The pin.</summary>
    public const int Intx = 0;

    /// <summary>Message signalled interrupts.</summary>
    public const int Msi = 1;

    /// <summary>Extended message signalled interrupts.</summary>
    public const int Msix = 2;

    /// <summary>Uncorrectable errors of the device.</summary>
    public const int Err = 3;

    /// <summary>Requests to give the device back.</summary>
    public const int Req = 4;

    /// <summary>How many indices every PCI device has.</summary>
    public const int Count = 5;
}
