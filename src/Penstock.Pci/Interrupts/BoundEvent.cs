using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>An eventfd that users bound. It is counted, so that it is never closed under a signaller; no lock is held while signalling.</summary>
internal sealed class BoundEvent(EventDescriptor descriptor)
{
    private readonly CountedEvent _counted = new(descriptor);
    private IrqBypass? _manager;
    private IrqBypassProducer? _producer;

    /// <summary>Lets a consumer of the eventfd be reached without it. Called once, after it has its place.</summary>
    /// <returns>Why that cannot be; null when it is prepared. The eventfd works in both cases.</returns>
    public string? Join(IrqBypass manager, int irq)
    {
        try
        {
            var producer = new IrqBypassProducer(descriptor.Identity, irq);
            manager.Register(producer);
            _manager = manager;
            _producer = producer;
            return null;
        }
        catch (Exception e)
        {
            // Also whatever a consumer's own method throws: it concerns the short way only.
            return e.Message;
        }
    }

    /// <summary>Begins a signal; after true the caller must call <see cref="SignalAndLeave"/>.</summary>
    public bool TryEnter() => _counted.TryEnter();

    public void SignalAndLeave()
    {
        try
        {
            if (_producer is not { } producer || !producer.TryDeliver())
            {
                _ = descriptor.Signal();
            }
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>No signal starts after this; see <see cref="CountedEvent.Retire"/>.</summary>
    public void Retire()
    {
        if (_producer is { } producer)
        {
            _manager!.Unregister(producer);
        }

        _counted.Retire();
    }

    /// <summary>Waits for running signals, as <see cref="Retire"/>; others may start.</summary>
    public void WaitUntilLeft() => _counted.WaitUntilLeft();

    public void Leave() => _counted.Leave();
}
