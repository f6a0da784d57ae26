namespace Penstock.S390;

/// <summary>The host's handler of an interruption subclass.</summary>
public interface IHostInterruptHandler
{
    /// <summary>
    /// An interruption. Called on whatever thread caused it, also several at once: it takes no lock that is held while waiting, and
    /// allocates nothing.
    /// </summary>
    /// <param name="interrupt">What firmware tells.</param>
    void Handle(in HostInterrupt interrupt);
}
