using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>A SET_IRQS call. The caller keeps its eventfds; a device that binds one takes a duplicate.</summary>
public readonly ref struct VfioIrqRequest
{
    /// <summary>Exactly one data bit and one action bit, unless the call is to be refused.</summary>
    public VfioIrqSetFlags Flags { get; init; }

    /// <summary>Interrupt index.</summary>
    public uint Index { get; init; }

    /// <summary>First vector.</summary>
    public uint Start { get; init; }

    /// <summary>Number of vectors.</summary>
    public uint Count { get; init; }

    /// <summary>With bool data: one byte per vector.</summary>
    public ReadOnlySpan<byte> Bools { get; init; }

    /// <summary>With eventfd data: one entry per vector, null where the vector is to lose its eventfd ("-1").</summary>
    public ReadOnlySpan<EventDescriptor?> Events { get; init; }

    /// <summary>Entries whose descriptor was no eventfd; what is wrong with one matters only to the vector that it is for.</summary>
    internal ReadOnlySpan<Errno> EventErrors { get; init; }

    /// <summary>The device's own duplicate of an eventfd of the request.</summary>
    /// <param name="entry">Which, from 0 for vector <see cref="Start"/>.</param>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    /// <returns>The duplicate, which the device disposes; null where there is none.</returns>
    /// <exception cref="VfioException">EBADF: it is not open; EINVAL: it is no eventfd; EMFILE: the process has no descriptor left.</exception>
    public EventDescriptor? TakeEvent(int entry, ResourceLedger? ledger)
    {
        string what = $"SET_IRQS, index {Index}, vectors {Start} to {(ulong)Start + Count}";
        if (entry < EventErrors.Length && EventErrors[entry] != Errno.None)
        {
            throw new VfioException(EventErrors[entry], what, $"descriptor {entry} is no open eventfd");
        }

        if (entry >= Events.Length || Events[entry] is not { } given)
        {
            return null;
        }

        try
        {
            return given.Hold(ledger);
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, what, e.Message);
        }
        catch (ObjectDisposedException)
        {
            throw new VfioException(Errno.EBADF, what, $"eventfd {entry} is closed");
        }
    }
}
