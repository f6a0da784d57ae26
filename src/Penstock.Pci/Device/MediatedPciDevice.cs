using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>
/// A mediated device that users see as a PCI function: what a parent's driver makes of a slice, which it describes as a function of its own.
/// Configuration space, BARs, interrupts and resets are the same code that serves whole functions. The parent's driver disposes it after
/// its removal.
/// </summary>
public class MediatedPciDevice : VfioPciCoreDevice
{
    /// <summary>Makes the device and plugs the function in.</summary>
    /// <param name="mdev">The mediated device that is being created.</param>
    /// <param name="function">The slice as a function.</param>
    /// <param name="log">Receives a line for each thing that somebody should know; called from any thread. Null for the host's own.</param>
    /// <exception cref="ArgumentException">The function's BARs or capabilities cannot be so; the text says which and why.</exception>
    public MediatedPciDevice(MdevDevice mdev, IPciFunction function, Action<string>? log = null)
        : base((mdev ?? throw new ArgumentNullException(nameof(mdev))).Name, function, mdev.Parent.Host, log) => Mdev = mdev;

    /// <summary>The mediated device.</summary>
    public MdevDevice Mdev { get; }
}
