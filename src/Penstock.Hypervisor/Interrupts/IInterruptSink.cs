namespace Penstock.Hypervisor;

/// <summary>Where interrupts enter a machine. All members may be called from any thread; none of them waits.</summary>
public interface IInterruptSink
{
    /// <summary>Pulses an interrupt line, or sends the message that it is routed to. A line without a route injects nothing.</summary>
    /// <param name="gsi">Number of the line.</param>
    void RaiseGsi(uint gsi);

    /// <summary>Sends a message signalled interrupt.</summary>
    /// <param name="message">The message.</param>
    void RaiseMsi(InterruptMessage message);

    /// <summary>Drives an interrupt line, a level.</summary>
    /// <param name="gsi">Number of the line.</param>
    /// <param name="asserted">The level.</param>
    void SetLevel(uint gsi, bool asserted);

    /// <summary>Asks to be told when the guest is done with an interrupt.</summary>
    /// <param name="gsi">Number of the line.</param>
    /// <param name="handler">Called on the thread on which the guest says so, with no lock held.</param>
    /// <returns>Disposing it takes the wish back; a call that has begun goes on.</returns>
    IDisposable OnEoi(uint gsi, Action handler);
}
