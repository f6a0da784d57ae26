namespace Penstock.Specs.Vfio;

/// <summary><c>VFIO_IRQ_INFO_*</c> of linux/vfio.h.</summary>
[Flags]
public enum VfioIrqFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Signalled by eventfds.</summary>
    Eventfd = 1,

    /// <summary>Mask and unmask are possible.</summary>
    Maskable = 2,

    /// <summary>Masked by itself when it fires.</summary>
    Automasked = 4,

    /// <summary>Vectors cannot be added while enabled.</summary>
    NoResize = 8,
}
