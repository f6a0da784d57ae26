using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>What a slot gives to the function in it: interrupt outputs, DMA and a strand. May be called from any thread.</summary>
public abstract class PciFunctionPort
{
    /// <summary>The function's line of execution; a model that changes state from outside enters it first.</summary>
    public abstract Strand Strand { get; }

    /// <summary>The function's way to memory. Blocked while Bus Master is off.</summary>
    public abstract DmaPort Dma { get; }

    /// <summary>Drives the interrupt pin, a level. Setting the level it has does nothing.</summary>
    /// <param name="asserted">Whether the function asks for service.</param>
    public abstract void SetIntx(bool asserted);

    /// <summary>
    /// Sends a message signalled interrupt of whichever kind is enabled. A masked vector becomes pending and is sent at unmask.
    /// Nothing happens while neither MSI nor MSI-X is enabled or Bus Master is off.
    /// </summary>
    /// <param name="vector">Vector number; one that the function does not have is ignored.</param>
    public abstract void SignalVector(int vector);

    /// <summary>Whether MSI or MSI-X is enabled, so that the pin is not to be used.</summary>
    public abstract bool UsesVectors { get; }

    /// <summary>
    /// Whether the user has bound the pin. A VMM takes it for answered only when its guest accesses a register of the function: an
    /// interrupt after which a driver has nothing to access is then told again and again.
    /// </summary>
    public abstract bool UsesPin { get; }
}
