namespace Penstock.Vfio;

/// <summary>
/// The place where interrupts of an eventfd end up, such as a virtual machine's interrupt controller. Registered with an
/// <see cref="IrqBypass"/> it is joined with the producer of the same eventfd. The manager calls the methods one at a time, with
/// its lock held: they must not call it.
/// </summary>
public abstract class IrqBypassConsumer
{
    /// <summary>Creates a consumer that is not registered.</summary>
    /// <param name="key">Identity of the eventfd.</param>
    protected IrqBypassConsumer(ulong key) => Key = key;

    /// <summary>Identity of the eventfd.</summary>
    public ulong Key { get; }

    /// <summary>The producer that it is joined with; null while there is none.</summary>
    public IrqBypassProducer? Producer { get; internal set; }

    internal bool IsRegistered { get; set; }

    /// <summary>A producer is joined.</summary>
    /// <param name="producer">The producer.</param>
    /// <exception cref="VfioException">It cannot be; interrupts then go on through the eventfd.</exception>
    protected internal abstract void AddProducer(IrqBypassProducer producer);

    /// <summary>The producer is gone.</summary>
    /// <param name="producer">The producer.</param>
    protected internal abstract void RemoveProducer(IrqBypassProducer producer);

    /// <summary>No interrupt may be on its way past the eventfd while the two are joined or parted.</summary>
    protected internal virtual void Stop()
    {
    }

    /// <summary>Ends <see cref="Stop"/>.</summary>
    protected internal virtual void Start()
    {
    }

    /// <summary>
    /// An interrupt of the joined producer, which does not signal the eventfd. Called from any thread, also several at once and with the
    /// producer's locks held: it must not wait, and not register or unregister anything.
    /// </summary>
    protected internal abstract void Deliver();
}
