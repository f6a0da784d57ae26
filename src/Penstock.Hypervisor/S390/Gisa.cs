namespace Penstock.Hypervisor;

/// <summary>
/// The guest interruption state area of one machine, as far as adapter interruptions need it: which interruption subclasses are pending, and
/// how each came there. May be used from any thread; nothing waits.
/// </summary>
public sealed class Gisa
{
    /// <summary>How many interruption subclasses there are.</summary>
    public const int Subclasses = 8;

    private const int First = 0x80;

    private int _pending;
    private long _byFirmware;
    private long _byHost;

    internal Gisa()
    {
    }

    /// <summary>Pending subclasses, the first in the highest bit of eight.</summary>
    public byte Pending => (byte)Volatile.Read(ref _pending);

    /// <summary>How many interruptions firmware posted without the host.</summary>
    public long PostedByFirmware => Interlocked.Read(ref _byFirmware);

    /// <summary>How many interruptions the host forwarded.</summary>
    public long ForwardedByHost => Interlocked.Read(ref _byHost);

    /// <summary>The guest takes what is pending, as a processor that runs it does.</summary>
    /// <returns>What was pending.</returns>
    public byte Take() => (byte)Interlocked.Exchange(ref _pending, 0);

    internal void Post(int subclass, bool byHost)
    {
        Interlocked.Or(ref _pending, First >> subclass);
        Interlocked.Increment(ref byHost ? ref _byHost : ref _byFirmware);
    }
}
