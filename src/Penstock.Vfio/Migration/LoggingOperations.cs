using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// What a driver gives to the core so that its device remembers what it writes. All three have to be there; it is checked when the device
/// is registered. May be called from any thread.
/// </summary>
public sealed class LoggingOperations
{
    /// <summary>
    /// Starts, for ranges that do not overlap, in any order; given is the page size that the user would like, returned the one that the
    /// device uses. EINVAL when it is started already.
    /// </summary>
    public Func<IReadOnlyList<IovaRange>, ulong, ulong>? Start { get; init; }

    /// <summary>Stops and forgets; does nothing when it is not started.</summary>
    public Action? Stop { get; init; }

    /// <summary>
    /// Calls with each run of bytes within a range that the device has written, and forgets them; EINVAL when it is not started. A run
    /// whose receiver throws is not forgotten.
    /// </summary>
    public Action<IovaRange, Action<IovaRange>>? Report { get; init; }

    internal void Check(string what)
    {
        if (Start is null || Stop is null || Report is null)
        {
            throw new VfioException(Errno.EINVAL, what, "its DMA logging needs Start, Stop and Report");
        }
    }
}
