namespace Penstock.Hypervisor;

/// <summary>
/// The interrupt controller of a simulated machine, with the guest's side of it: pins that stay in service until the guest's end of
/// interrupt, and messages. Lines 0 to 23 are pins at first, others have no route. All members may be called from any thread.
/// </summary>
public sealed class InterruptController : IInterruptSink
{
    private const int Pins = 24;

    private readonly object _gate = new();
    private readonly Dictionary<uint, Line> _lines = [];
    private readonly List<(uint Gsi, Action Handler)> _eoi = [];
    private ulong _messages;

    internal InterruptController()
    {
        for (uint gsi = 0; gsi < Pins; gsi++)
        {
            _lines.Add(gsi, new Line { IsRouted = true });
        }
    }

    /// <summary>How many messages arrived, those of routed lines included.</summary>
    public ulong Messages
    {
        get
        {
            lock (_gate)
            {
                return _messages;
            }
        }
    }

    /// <summary>The last message that arrived.</summary>
    public InterruptMessage LastMessage { get; private set; }

    /// <summary>Routes a line to a message.</summary>
    /// <param name="gsi">Number of the line.</param>
    /// <param name="message">The message.</param>
    public void Route(uint gsi, InterruptMessage message) => Route(gsi, new Line { IsRouted = true, Message = message });

    /// <inheritdoc/>
    public void RaiseGsi(uint gsi)
    {
        lock (_gate)
        {
            Drive(gsi, LineSource.Irqfd, true);
            Drive(gsi, LineSource.Irqfd, false);
        }
    }

    /// <inheritdoc/>
    public void RaiseMsi(InterruptMessage message)
    {
        lock (_gate)
        {
            Arrived(message);
        }
    }

    /// <inheritdoc/>
    public void SetLevel(uint gsi, bool asserted) => SetLevel(gsi, LineSource.User, asserted);

    /// <inheritdoc/>
    public IDisposable OnEoi(uint gsi, Action handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        lock (_gate)
        {
            _eoi.Add((gsi, handler));
        }

        return new Wish(this, gsi, handler);
    }

    /// <summary>Whether a line is high.</summary>
    /// <param name="gsi">Number of the line.</param>
    /// <returns>The level.</returns>
    public bool IsAsserted(uint gsi)
    {
        lock (_gate)
        {
            return LineOf(gsi).Sources != LineSource.None;
        }
    }

    /// <summary>How often an interrupt of a line was delivered to the guest.</summary>
    /// <param name="gsi">Number of the line.</param>
    /// <returns>The number.</returns>
    public ulong Delivered(uint gsi)
    {
        lock (_gate)
        {
            return LineOf(gsi).Delivered;
        }
    }

    /// <summary>Waits until interrupts of a line were delivered.</summary>
    /// <param name="gsi">Number of the line.</param>
    /// <param name="count">How many since the start, at least.</param>
    /// <param name="timeout">How long.</param>
    /// <returns>False when the time was up.</returns>
    public bool WaitDelivered(uint gsi, ulong count, TimeSpan timeout)
    {
        DateTime end = DateTime.UtcNow + timeout;
        lock (_gate)
        {
            while (LineOf(gsi).Delivered < count)
            {
                TimeSpan left = end - DateTime.UtcNow;
                if (left <= TimeSpan.Zero)
                {
                    return false;
                }

                Monitor.Wait(_gate, left);
            }

            return true;
        }
    }

    /// <summary>The guest is done with an interrupt of a pin. A line that is high by then interrupts again.</summary>
    /// <param name="gsi">Number of the line.</param>
    public void EndOfInterrupt(uint gsi)
    {
        Action[] handlers;
        lock (_gate)
        {
            LineOf(gsi).InService = false;
            handlers = [.. _eoi.Where(e => e.Gsi == gsi).Select(static e => e.Handler)];
        }

        foreach (Action handler in handlers)
        {
            handler();
        }

        lock (_gate)
        {
            Line line = LineOf(gsi);
            if (!line.InService && (line.IsPending || line.Sources != LineSource.None))
            {
                Deliver(line);
            }
        }
    }

    internal void SetLevel(uint gsi, LineSource source, bool asserted)
    {
        lock (_gate)
        {
            Drive(gsi, source, asserted);
        }
    }

    private void Route(uint gsi, Line route)
    {
        lock (_gate)
        {
            Line before = LineOf(gsi);
            route.Delivered = before.Delivered;
            route.Sources = before.Sources;
            route.InService = before.InService;
            route.IsPending = before.IsPending;
            _lines[gsi] = route;
        }
    }

    private void Drive(uint gsi, LineSource source, bool asserted)
    {
        Line line = LineOf(gsi);
        bool was = line.Sources != LineSource.None;
        line.Sources = asserted ? line.Sources | source : line.Sources & ~source;
        if (was || line.Sources == LineSource.None || !line.IsRouted)
        {
            return;
        }

        if (line.InService)
        {
            line.IsPending = true;
        }
        else
        {
            Deliver(line);
        }
    }

    private void Deliver(Line line)
    {
        line.IsPending = false;
        line.Delivered++;
        if (line.Message is { } message)
        {
            Arrived(message);
            return;
        }

        line.InService = true;
        Monitor.PulseAll(_gate);
    }

    private void Arrived(InterruptMessage message)
    {
        _messages++;
        LastMessage = message;
        Monitor.PulseAll(_gate);
    }

    private Line LineOf(uint gsi)
    {
        if (!_lines.TryGetValue(gsi, out Line? line))
        {
            _lines.Add(gsi, line = new Line());
        }

        return line;
    }

    private sealed class Line
    {
        public bool IsRouted { get; init; }

        public InterruptMessage? Message { get; init; }

        public LineSource Sources { get; set; }

        public bool InService { get; set; }

        public bool IsPending { get; set; }

        public ulong Delivered { get; set; }
    }

    private sealed class Wish(InterruptController controller, uint gsi, Action handler) : IDisposable
    {
        public void Dispose()
        {
            lock (controller._gate)
            {
                controller._eoi.Remove((gsi, handler));
            }
        }
    }
}
