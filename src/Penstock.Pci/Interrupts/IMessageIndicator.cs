namespace Penstock.Pci;

/// <summary>
/// Whoever can show a device's messages to the machine that has it, so that not each of them has to wake the VMM: see
/// <see cref="VfioPciCoreDevice.MessageIndicator"/>.
/// </summary>
public interface IMessageIndicator
{
    /// <summary>
    /// An MSI-X vector that the host does not mask, and whose eventfd a user has bound, has a message. Called on any thread, also several at once: it must not
    /// wait, allocate or throw.
    /// </summary>
    /// <param name="vector">Number of the vector.</param>
    /// <returns>Whether the machine will see it, so that the eventfd is not signalled.</returns>
    bool Indicate(int vector);
}
