using Penstock.S390;

namespace Penstock.Hypervisor;

/// <summary>
/// The processors of an s390 machine, as far as interruptions care: which of them run the guest, and which sleep until they are kicked. A thread that
/// plays a processor enters before it runs the guest and leaves for everything else. All members may be called from any thread.
/// </summary>
public sealed class GuestProcessors
{
    private readonly object _gate = new();
    private Gisa? _gisa;
    private int _running;
    private int _blocks;
    private int _kicked;
    private int _injected;

    internal GuestProcessors()
    {
    }

    /// <summary>How many run the guest now.</summary>
    public int Running => Volatile.Read(ref _running);

    /// <summary>Whether those that run the guest are to leave soon.</summary>
    public bool IsExitRequested => Volatile.Read(ref _blocks) != 0;

    /// <summary>What the processors' control blocks say about zPCI; set once, never taken back.</summary>
    internal ZpciExecutionControls Controls { get; private set; }

    /// <summary>
    /// Wakes a processor, which then enters; it is told the pending subclasses. Called on a timer's thread, or by who injects; must neither
    /// wait nor throw.
    /// </summary>
    public Action<byte>? Kicked { get; set; }

    /// <summary>A processor runs the guest from now on; waits while all are blocked.</summary>
    /// <returns>Interruption subclasses that were pending: they are the guest's now.</returns>
    public byte Enter()
    {
        lock (_gate)
        {
            while (_blocks != 0)
            {
                Monitor.Wait(_gate);
            }

            _running++;
        }

        Volatile.Write(ref _kicked, 0);
        _gisa?.Guest.Enter();
        return Take();
    }

    /// <summary>While it runs, a processor is interrupted.</summary>
    /// <returns>As for <see cref="Enter"/>.</returns>
    public byte Take() => (byte)(Interlocked.Exchange(ref _injected, 0) | (_gisa?.Take() ?? 0));

    /// <summary>The VMM injects an adapter interruption by itself, past the interruption state area; an idle processor is woken.</summary>
    /// <param name="subclass">The interruption subclass.</param>
    public void Inject(int subclass)
    {
        byte mask = GisaArea.MaskOf(subclass);
        Interlocked.Or(ref _injected, mask);
        TryKick(mask);
    }

    /// <summary>A processor stops running the guest.</summary>
    public void Leave()
    {
        _gisa?.Guest.Leave();
        lock (_gate)
        {
            _running--;
            Monitor.PulseAll(_gate);
        }
    }

    internal void Use(Gisa gisa) => _gisa = gisa;

    /// <summary>Firmware accepts the guest's instructions from now on. All processors are out of the guest while that changes.</summary>
    internal void EnableInterpretation()
    {
        lock (_gate)
        {
            if (Controls == ZpciExecutionControls.All)
            {
                return;
            }

            _blocks++;
            while (_running != 0)
            {
                Monitor.Wait(_gate);
            }

            Controls = ZpciExecutionControls.All;
            _blocks--;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Wakes an idle processor, unless one runs or was woken and has not come yet.</summary>
    internal bool TryKick(byte pending)
    {
        if (Running != 0 || Interlocked.Exchange(ref _kicked, 1) != 0)
        {
            return false;
        }

        Kicked?.Invoke(pending);
        return true;
    }
}
