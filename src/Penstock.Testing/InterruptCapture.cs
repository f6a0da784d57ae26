using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>
/// The eventfds that a user bound to the vectors of one interrupt index, and what came through them. Waits take signals; what was taken still
/// counts in <see cref="Count"/>. May be used from any thread, one thread for each vector.
/// </summary>
public sealed class InterruptCapture : IDisposable
{
    private readonly FunctionTestBench _bench;
    private readonly EventDescriptor[] _events;
    private readonly long[] _taken;
    private bool _disposed;

    internal InterruptCapture(FunctionTestBench bench, int index, int vectors)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(vectors);
        _bench = bench;
        Index = index;
        _events = new EventDescriptor[vectors];
        _taken = new long[vectors];
        for (int i = 0; i < vectors; i++)
        {
            _events[i] = EventDescriptor.Create();
        }

        try
        {
            Bind(0, _events);
        }
        catch
        {
            Array.ForEach(_events, static e => e.Dispose());
            throw;
        }
    }

    /// <summary>The interrupt index, one of <see cref="VfioIrqs"/>.</summary>
    public int Index { get; }

    /// <summary>How many vectors are bound.</summary>
    public int Vectors => _events.Length;

    /// <summary>Takes what a vector has signalled since it was taken last. Does not wait.</summary>
    /// <param name="vector">The vector.</param>
    /// <returns>How many signals.</returns>
    public long Take(int vector = 0)
    {
        if (!_events[vector].TryDrain(out ulong signals))
        {
            return 0;
        }

        Interlocked.Add(ref _taken[vector], (long)signals);
        return (long)signals;
    }

    /// <summary>Waits until a vector has signalled, and takes it.</summary>
    /// <param name="vector">The vector.</param>
    /// <param name="timeout">How long; null for the bench's patience.</param>
    /// <returns>How many signals there were, at least 1.</returns>
    /// <exception cref="TestBenchException">None came.</exception>
    public long WaitFor(int vector = 0, TimeSpan? timeout = null)
    {
        TimeSpan patience = timeout ?? _bench.Patience;
        Poll.Wait(_events[vector].Descriptor.Value, PollEvents.In, patience);
        long signals = Take(vector);
        return signals != 0 ? signals : throw new TestBenchException($"no interrupt came on vector {vector} of index {Index} in {patience.TotalSeconds} s");
    }

    /// <summary>How many signals a vector has sent in all.</summary>
    /// <param name="vector">The vector.</param>
    /// <returns>How many.</returns>
    public long Count(int vector = 0)
    {
        Take(vector);
        return Interlocked.Read(ref _taken[vector]);
    }

    /// <summary>Fails when a signal has come that nobody took.</summary>
    /// <exception cref="TestBenchException">Which.</exception>
    public void ExpectNone()
    {
        for (int vector = 0; vector < Vectors; vector++)
        {
            long signals = Take(vector);
            if (signals != 0)
            {
                throw new TestBenchException($"{signals} interrupts that nobody expected came on vector {vector} of index {Index}");
            }
        }
    }

    /// <summary>Masks the pin. Message signalled vectors are masked by taking their eventfd away: <see cref="Unbind"/>.</summary>
    /// <exception cref="VfioException">ENOTTY: not the pin.</exception>
    public void Mask() => Act(VfioIrqSetFlags.ActionMask);

    /// <summary>Unmasks the pin, which a signal masks by itself: it signals at once when its level is still high.</summary>
    /// <exception cref="VfioException">ENOTTY: not the pin.</exception>
    public void Unmask() => Act(VfioIrqSetFlags.ActionUnmask);

    /// <summary>Takes the eventfd of a vector away; what it sends now becomes pending where the function remembers it.</summary>
    /// <param name="vector">The vector.</param>
    public void Unbind(int vector) => Bind(vector, [null]);

    /// <summary>Gives a vector its eventfd back.</summary>
    /// <param name="vector">The vector.</param>
    public void Rebind(int vector) => Bind(vector, [_events[vector]]);

    /// <summary>Takes all bindings away, where the device is still open.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, true))
        {
            return;
        }

        _bench.Forget(this);
        if (_bench.IsOpen)
        {
            try
            {
                _bench.File.SetIrqs(new VfioIrqRequest { Index = (uint)Index, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger });
            }
            catch (VfioException)
            {
                // Another capture has the interrupts by now, or the model lost them.
            }
        }

        Array.ForEach(_events, static e => e.Dispose());
    }

    private void Act(VfioIrqSetFlags action) =>
        _bench.File.SetIrqs(new VfioIrqRequest { Index = (uint)Index, Count = 1, Flags = VfioIrqSetFlags.DataNone | action });

    private void Bind(int first, EventDescriptor?[] events) => _bench.File.SetIrqs(new VfioIrqRequest
    {
        Index = (uint)Index,
        Start = (uint)first,
        Count = (uint)events.Length,
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Events = events,
    });
}
