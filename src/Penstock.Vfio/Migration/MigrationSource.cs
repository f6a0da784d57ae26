using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A device's state as a stream that is read. Calls come one at a time. A source holds nothing that would have to be given back.
/// </summary>
public abstract class MigrationSource
{
    /// <summary>
    /// Bytes that the destination needs before anything else and that have not been read yet: more than 0 at first, falling to 0.
    /// </summary>
    public abstract ulong InitialBytes { get; }

    /// <summary>Other bytes that could be read now.</summary>
    public abstract ulong DirtyBytes { get; }

    /// <summary>Reads what comes next.</summary>
    /// <param name="destination">Where to; not empty.</param>
    /// <param name="read">How much; with None, 0 only at the end of a stopped device's state.</param>
    /// <returns>None; ENOMSG: nothing now, since the device still works; EAGAIN: more will come by itself.</returns>
    public abstract Errno Read(Span<byte> destination, out int read);

    /// <summary>The device has been stopped: what has not been read yet is final.</summary>
    public abstract void DeviceStopped();

    /// <summary>
    /// Whether the device has begun its state anew since the last call, so that there are new initial bytes and both counters start
    /// again. Asked only for users that understand it; for others what is new counts among the dirty bytes.
    /// </summary>
    /// <returns>True once for each time.</returns>
    public virtual bool TakeRestart() => false;
}
