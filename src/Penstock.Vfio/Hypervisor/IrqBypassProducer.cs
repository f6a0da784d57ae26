namespace Penstock.Vfio;

/// <summary>
/// A source of interrupts that signals an eventfd, such as a vector of a device. Registered with an <see cref="IrqBypass"/> it is
/// joined with the consumer of the same eventfd, and from then on reaches it without the eventfd. The manager calls the virtual methods
/// one at a time, with its lock held: they must not call it.
/// </summary>
public class IrqBypassProducer
{
    private IrqBypassConsumer? _target;
    private int _delivering;

    /// <summary>Creates a producer that is not registered.</summary>
    /// <param name="key">Identity of the eventfd.</param>
    /// <param name="irq">Number of the interrupt, for people.</param>
    public IrqBypassProducer(ulong key, int irq)
    {
        Key = key;
        Irq = irq;
    }

    /// <summary>Identity of the eventfd.</summary>
    public ulong Key { get; }

    /// <summary>Number of the interrupt, for people.</summary>
    public int Irq { get; }

    /// <summary>The consumer that it is joined with; null while there is none.</summary>
    public IrqBypassConsumer? Consumer => Volatile.Read(ref _target);

    internal bool IsRegistered { get; set; }

    /// <summary>
    /// Sends an interrupt to the joined consumer. Takes no lock and allocates nothing. May be called from any thread.
    /// </summary>
    /// <returns>False when there is none: the eventfd is to be signalled.</returns>
    public bool TryDeliver()
    {
        if (Volatile.Read(ref _target) is null)
        {
            return false;
        }

        Interlocked.Increment(ref _delivering);
        try
        {
            if (Volatile.Read(ref _target) is not { } target)
            {
                return false;
            }

            target.Deliver();
            return true;
        }
        finally
        {
            Interlocked.Decrement(ref _delivering);
        }
    }

    /// <summary>A consumer is joined.</summary>
    /// <param name="consumer">The consumer.</param>
    /// <exception cref="VfioException">It cannot be; interrupts then go on through the eventfd.</exception>
    protected internal virtual void AddConsumer(IrqBypassConsumer consumer)
    {
    }

    /// <summary>The consumer is gone.</summary>
    /// <param name="consumer">The consumer.</param>
    protected internal virtual void RemoveConsumer(IrqBypassConsumer consumer)
    {
    }

    /// <summary>No interrupt may be on its way past the eventfd while the two are joined or parted.</summary>
    protected internal virtual void Stop()
    {
    }

    /// <summary>Ends <see cref="Stop"/>.</summary>
    protected internal virtual void Start()
    {
    }

    internal void Aim(IrqBypassConsumer consumer) => Volatile.Write(ref _target, consumer);

    /// <summary>Back to the eventfd. When this returns no interrupt is on its way to the consumer.</summary>
    internal void TakeBack()
    {
        Interlocked.Exchange(ref _target, null);
        SpinWait spin = default;
        while (Volatile.Read(ref _delivering) != 0)
        {
            spin.SpinOnce();
        }
    }
}
