using Penstock.Interop;

namespace Penstock.Pci;

/// <summary>
/// A PCI function as its author sees it: the hardware. Everything that has to do with users, maps, eventfds and VMs is done for it.
/// All members but <see cref="Description"/> are called on the function's strand, one at a time. An exception that leaves a member
/// becomes EIO for the access and a log line; it never ends the process.
/// </summary>
public interface IPciFunction
{
    /// <summary>What the function is; the same object every time.</summary>
    PciFunctionDescription Description { get; }

    /// <summary>Plugs the function in. Called once, before anything else.</summary>
    /// <param name="port">Its way to interrupts, DMA and its strand.</param>
    void Attach(PciFunctionPort port);

    /// <summary>
    /// A read from a BAR while its decoding is on. The core splits accesses of users into naturally aligned ones of 1, 2, 4 or 8 bytes
    /// for memory, 1, 2 or 4 for I/O, unless the BAR says that it takes whole accesses.
    /// </summary>
    /// <param name="bar">Index of the BAR.</param>
    /// <param name="offset">Offset in bytes.</param>
    /// <param name="data">Receives the bytes, little-endian.</param>
    /// <returns>None, or the error that the user sees.</returns>
    Errno ReadBar(int bar, ulong offset, Span<byte> data);

    /// <summary>A write to a BAR; as <see cref="ReadBar"/>.</summary>
    /// <param name="bar">Index of the BAR.</param>
    /// <param name="offset">Offset in bytes.</param>
    /// <param name="data">The bytes, little-endian.</param>
    /// <returns>None, or the error that the user sees.</returns>
    Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data);

    /// <summary>Returns to the initial state; interrupt outputs are low afterwards and no posted work of before may have effects.</summary>
    /// <param name="kind">Why.</param>
    void Reset(PciResetKind kind);
}
