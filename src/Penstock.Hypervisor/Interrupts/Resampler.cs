using Penstock.Interop;

namespace Penstock.Hypervisor;

/// <summary>
/// A level triggered line that irqfds share: high from a signal until the guest's end of interrupt, which every one of them is told. There
/// is one for each line, for as long as the line has such an irqfd.
/// </summary>
internal sealed class Resampler
{
    private readonly InterruptController _interrupts;
    private readonly uint _gsi;
    private readonly IDisposable _eoi;
    private volatile CountedEvent[] _events = [];

    public Resampler(InterruptController interrupts, uint gsi)
    {
        _interrupts = interrupts;
        _gsi = gsi;
        _eoi = interrupts.OnEoi(gsi, Acknowledge);
    }

    public bool IsEmpty => _events.Length == 0;

    public void Raise() => _interrupts.SetLevel(_gsi, LineSource.Resample, true);

    public void Add(CountedEvent resample) => _events = [.. _events, resample];

    public void Remove(CountedEvent resample)
    {
        _events = [.. _events.Where(e => e != resample)];
        if (IsEmpty)
        {
            _eoi.Dispose();
            _interrupts.SetLevel(_gsi, LineSource.Resample, false);
        }
    }

    private void Acknowledge()
    {
        _interrupts.SetLevel(_gsi, LineSource.Resample, false);
        foreach (CountedEvent events in _events)
        {
            // Nobody waits for one that is taken away at this moment.
            events.TrySignal();
        }
    }
}
