namespace Penstock.Interop;

/// <summary>Where threads run.</summary>
public static unsafe class ProcessPlacement
{
    /// <summary>Binds the calling thread to one processor. The runtime lets threads that it starts later run anywhere.</summary>
    /// <param name="processor">Number of the processor, from 0, below 1024.</param>
    /// <exception cref="SystemCallException">The machine has no such processor for this process (EINVAL).</exception>
    public static void PinCurrentThread(int processor)
    {
        const int MaskBytes = 128;
        ArgumentOutOfRangeException.ThrowIfNegative(processor);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(processor, MaskBytes * 8);
        byte* mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        mask[processor / 8] = (byte)(1 << (processor % 8));

        // SAFETY: the mask has the length that is passed.
        if (Native.sched_setaffinity(0, MaskBytes, mask) != 0)
        {
            throw Native.Failure("sched_setaffinity", $"processor {processor}");
        }
    }
}
