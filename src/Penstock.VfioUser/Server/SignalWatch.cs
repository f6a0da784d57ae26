using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A peer shares the flags of the eventfds that it gave: it can make one blocking again and fill its counter at the moment of a signal, and
/// whoever signals then waits inside the kernel, maybe with the function's strand. This watch looks at a session's eventfds once in a while;
/// a counter that is full gets emptied, which sets any such thread free. No honest user ever has a full one.
/// </summary>
internal sealed class SignalWatch : IDisposable
{
    /// <summary>How many eventfds stay known that others have replaced.</summary>
    private const int MostReplaced = 256;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Dictionary<(uint Index, VfioIrqSetFlags Action, uint Vector), EventDescriptor> _events = [];
    private readonly Queue<(EventDescriptor Event, long Look)> _replaced = [];
    private readonly Lock _gate = new();
    private Timer? _timer;
    private long _looks;
    private bool _disposed;

    /// <summary>How many eventfds are kept, replaced ones aside; at most one for each action of each vector of the device.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _events.Count;
            }
        }
    }

    /// <summary>
    /// A vector has a new eventfd. One that was taken away stays known until the session ends, one that is replaced until the second look after
    /// that: they may be in use just now.
    /// </summary>
    /// <param name="index">Interrupt index.</param>
    /// <param name="action">What the eventfd is for.</param>
    /// <param name="vector">Vector.</param>
    /// <param name="given">The client's eventfd; stays the caller's.</param>
    public void Remember(uint index, VfioIrqSetFlags action, uint vector, EventDescriptor given)
    {
        EventDescriptor own = given.Duplicate();
        lock (_gate)
        {
            if (_events.Remove((index, action, vector), out EventDescriptor? before))
            {
                _replaced.Enqueue((before, _looks));
                if (_replaced.Count > MostReplaced)
                {
                    Forget();
                }
            }

            _events.Add((index, action, vector), own);
            _timer ??= new Timer(static watch => ((SignalWatch)watch!).Look(), this, Interval, Interval);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            _timer?.Dispose();
            foreach (EventDescriptor known in _events.Values)
            {
                known.Dispose();
            }

            while (_replaced.TryDequeue(out (EventDescriptor Event, long Look) old))
            {
                old.Event.Dispose();
            }

            _events.Clear();
        }
    }

    private void Look()
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            foreach (EventDescriptor known in _events.Values)
            {
                FreeIfFull(known);
            }

            foreach ((EventDescriptor old, _) in _replaced)
            {
                FreeIfFull(old);
            }

            _looks++;
            while (_replaced.TryPeek(out (EventDescriptor Event, long Look) oldest) && _looks - oldest.Look > 1)
            {
                Forget();
            }
        }
    }

    private static void FreeIfFull(EventDescriptor known)
    {
        if ((Poll.Wait(known.Descriptor.Value, PollEvents.Out, TimeSpan.Zero) & PollEvents.Out) == 0)
        {
            known.SetFree();
        }
    }

    private void Forget()
    {
        EventDescriptor oldest = _replaced.Dequeue().Event;
        FreeIfFull(oldest);
        oldest.Dispose();
    }
}
