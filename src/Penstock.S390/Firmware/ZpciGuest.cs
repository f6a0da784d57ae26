namespace Penstock.S390;

/// <summary>
/// A guest as firmware knows it: its interruption state area, and how many of its processors run now. All members may be called from any thread.
/// </summary>
public sealed class ZpciGuest : IDisposable
{
    private readonly ZpciFirmware _firmware;
    private int _running;
    private int _disposed;
    private long _posted;
    private long _suppressed;
    private long _alerts;

    internal ZpciGuest(ZpciFirmware firmware, GisaArea area)
    {
        _firmware = firmware;
        Area = area;
        area.Initialize();
    }

    /// <summary>Its interruption state area; valid until disposed.</summary>
    public GisaArea Area { get; }

    /// <summary>By what functions are enabled for it and entries name it: the address of the area (GISA designation).</summary>
    public uint Designation => Area.Address;

    /// <summary>Whether a processor of it runs.</summary>
    public bool IsRunning => Volatile.Read(ref _running) != 0;

    /// <summary>How many interruptions firmware made pending.</summary>
    public long Posted => Interlocked.Read(ref _posted);

    /// <summary>How many it held back, because the guest had asked for one at most.</summary>
    public long Suppressed => Interlocked.Read(ref _suppressed);

    /// <summary>How often the area was put into the alert list.</summary>
    public long Alerts => Interlocked.Read(ref _alerts);

    /// <summary>A processor begins to run.</summary>
    public void Enter() => Interlocked.Increment(ref _running);

    /// <summary>A processor stops. What it has not taken alerts the host if no other one runs.</summary>
    public void Leave()
    {
        if (Interlocked.Decrement(ref _running) == 0)
        {
            _firmware.Alert(this);
        }
    }

    /// <summary>The guest ends: no function is enabled for it, no entry names it, and it is in no alert list.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _firmware.Remove(this);
        }
    }

    internal void CountPosted() => Interlocked.Increment(ref _posted);

    internal void CountSuppressed() => Interlocked.Increment(ref _suppressed);

    internal void CountAlert() => Interlocked.Increment(ref _alerts);
}
