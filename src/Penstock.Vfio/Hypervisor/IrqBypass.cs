using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Joins sources and sinks of interrupts that know nothing of each other: both register with the identity of the same eventfd, in any
/// order, and the second one connects them. A failure concerns only the second; interrupts then go on through the eventfd. All members
/// may be called from any thread, but not by a producer's or consumer's own methods.
/// </summary>
public sealed class IrqBypass
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, IrqBypassProducer> _producers = [];
    private readonly Dictionary<ulong, IrqBypassConsumer> _consumers = [];
    private readonly HashSet<ulong> _claimed = [];

    /// <summary>How many producers are registered.</summary>
    public int Producers
    {
        get
        {
            lock (_gate)
            {
                return _producers.Count;
            }
        }
    }

    /// <summary>How many consumers are registered.</summary>
    public int Consumers
    {
        get
        {
            lock (_gate)
            {
                return _consumers.Count;
            }
        }
    }

    /// <summary>Registers a producer, and connects it if a consumer of its eventfd is there.</summary>
    /// <param name="producer">The producer.</param>
    /// <exception cref="VfioException">
    /// EINVAL: it is registered; EBUSY: the eventfd has a producer; the error of either side's add method. It is not registered then.
    /// </exception>
    public void Register(IrqBypassProducer producer)
    {
        ArgumentNullException.ThrowIfNull(producer);
        const string What = "registering a producer of interrupts";
        lock (_gate)
        {
            if (producer.IsRegistered)
            {
                throw new VfioException(Errno.EINVAL, What, "it is registered already");
            }

            if (_producers.ContainsKey(producer.Key))
            {
                throw new VfioException(Errno.EBUSY, What, $"eventfd {producer.Key} has a producer already");
            }

            if (_consumers.TryGetValue(producer.Key, out IrqBypassConsumer? consumer))
            {
                Connect(producer, consumer);
            }

            _producers.Add(producer.Key, producer);
            producer.IsRegistered = true;
        }
    }

    /// <summary>Registers a consumer, and connects it if a producer of its eventfd is there.</summary>
    /// <param name="consumer">The consumer.</param>
    /// <exception cref="VfioException">
    /// EINVAL: it is registered; EBUSY: the eventfd has a consumer; the error of either side's add method. It is not registered then.
    /// </exception>
    public void Register(IrqBypassConsumer consumer)
    {
        ArgumentNullException.ThrowIfNull(consumer);
        const string What = "registering a consumer of interrupts";
        lock (_gate)
        {
            if (consumer.IsRegistered)
            {
                throw new VfioException(Errno.EINVAL, What, "it is registered already");
            }

            if (_consumers.ContainsKey(consumer.Key))
            {
                throw new VfioException(Errno.EBUSY, What, $"eventfd {consumer.Key} has a consumer already");
            }

            if (_producers.TryGetValue(consumer.Key, out IrqBypassProducer? producer))
            {
                Connect(producer, consumer);
            }

            _consumers.Add(consumer.Key, consumer);
            consumer.IsRegistered = true;
        }
    }

    /// <summary>Takes a producer away; without effect when it is not registered. When this returns its consumer is not used by it.</summary>
    /// <param name="producer">The producer.</param>
    public void Unregister(IrqBypassProducer producer)
    {
        ArgumentNullException.ThrowIfNull(producer);
        lock (_gate)
        {
            if (!producer.IsRegistered)
            {
                return;
            }

            // Before what may throw in a method of either side.
            _producers.Remove(producer.Key);
            producer.IsRegistered = false;
            if (producer.Consumer is { } consumer)
            {
                Disconnect(producer, consumer);
            }
        }
    }

    /// <summary>Takes a consumer away; without effect when it is not registered. When this returns it is not called any more.</summary>
    /// <param name="consumer">The consumer.</param>
    public void Unregister(IrqBypassConsumer consumer)
    {
        ArgumentNullException.ThrowIfNull(consumer);
        lock (_gate)
        {
            if (!consumer.IsRegistered)
            {
                return;
            }

            _consumers.Remove(consumer.Key);
            consumer.IsRegistered = false;
            if (consumer.Producer is { } producer)
            {
                Disconnect(producer, consumer);
            }
        }
    }

    /// <summary>Makes an eventfd the interrupt of one machine, of all machines and hypervisors that the host's devices have.</summary>
    /// <param name="key">The eventfd's identity; whoever claims it keeps it open.</param>
    /// <returns>False when it is one already.</returns>
    public bool TryClaim(ulong key)
    {
        lock (_gate)
        {
            return _claimed.Add(key);
        }
    }

    /// <summary>Ends a claim.</summary>
    /// <param name="key">The eventfd's identity.</param>
    public void Unclaim(ulong key)
    {
        lock (_gate)
        {
            _claimed.Remove(key);
        }
    }

    private static void Connect(IrqBypassProducer producer, IrqBypassConsumer consumer)
    {
        producer.Stop();
        consumer.Stop();
        try
        {
            producer.AddConsumer(consumer);
            try
            {
                consumer.AddProducer(producer);
            }
            catch
            {
                producer.RemoveConsumer(consumer);
                throw;
            }
        }
        finally
        {
            consumer.Start();
            producer.Start();
        }

        consumer.Producer = producer;
        producer.Aim(consumer);
    }

    private static void Disconnect(IrqBypassProducer producer, IrqBypassConsumer consumer)
    {
        producer.TakeBack();
        consumer.Producer = null;
        producer.Stop();
        consumer.Stop();
        try
        {
            consumer.RemoveProducer(producer);
        }
        finally
        {
            try
            {
                producer.RemoveConsumer(consumer);
            }
            finally
            {
                consumer.Start();
                producer.Start();
            }
        }
    }
}
