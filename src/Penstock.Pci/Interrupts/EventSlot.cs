using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>
/// An eventfd that users bound, with a count of the threads that signal it at this moment: whoever leaves last after retirement closes
/// it, so a descriptor is never closed under a signaller. No lock is held while signalling.
/// </summary>
internal sealed class EventSlot(EventDescriptor descriptor)
{
    private const int Retired = 1 << 30;
    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(20);
    private IrqBypass? _manager;
    private IrqBypassProducer? _producer;
    private int _state;

    /// <summary>Lets a consumer of the eventfd be reached without it. Called once, after the slot has its place.</summary>
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
        catch (Exception e) when (e is VfioException or SystemCallException)
        {
            return e.Message;
        }
    }

    /// <summary>Begins a signal; after true the caller must call <see cref="SignalAndLeave"/>.</summary>
    public bool TryEnter()
    {
        if ((Interlocked.Increment(ref _state) & Retired) == 0)
        {
            return true;
        }

        Leave();
        return false;
    }

    public void SignalAndLeave()
    {
        if (_producer is not { } producer || !producer.TryDeliver())
        {
            _ = descriptor.Signal();
        }

        Leave();
    }

    /// <summary>
    /// No signal starts after this. It waits for running ones, but not for ever: a peer may have made its counter blocking,
    /// and must then only lose its own interrupt.
    /// </summary>
    public void Retire()
    {
        if (_producer is { } producer)
        {
            _manager!.Unregister(producer);
        }

        if (Interlocked.Add(ref _state, Retired) == Retired)
        {
            Close();
            return;
        }

        SpinWait.SpinUntil(() => Volatile.Read(ref _state) == Retired, s_patience);
    }

    /// <summary>Waits for running signals, as <see cref="Retire"/>; others may start.</summary>
    public void WaitUntilLeft()
    {
        if (Interlocked.Add(ref _state, 0) != 0)
        {
            SpinWait.SpinUntil(() => Volatile.Read(ref _state) == 0, s_patience);
        }
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _state) == Retired)
        {
            Close();
        }
    }

    // Late entrants count up and down again after the end: disposing twice does nothing.
    private void Close() => descriptor.Dispose();
}
