namespace Penstock.Devices;

/// <summary>A completion queue as the controller keeps it. All members are used on the strand.</summary>
internal sealed class NvmeCompletionQueue(ushort id, ulong address, uint entries, ushort vector, bool interrupts)
{
    // Entries whose result the controller has written as zero; hosts do not write here. Only there once entries were written by copies.
    private bool[]? _zeroResults;

    internal ushort Id => id;

    /// <summary>I/O address of the first entry.</summary>
    internal ulong Address => address;

    internal uint Entries => entries;

    internal ushort Vector => vector;

    /// <summary>Whether the host wants to be interrupted for it.</summary>
    internal bool Interrupts => interrupts;

    /// <summary>Where the next entry goes.</summary>
    internal uint Tail { get; set; }

    /// <summary>What the host has read up to, as far as the controller knows.</summary>
    internal uint Head { get; set; }

    /// <summary>The phase of entries written in this lap.</summary>
    internal bool Phase { get; set; } = true;

    /// <summary>Entries that are promised to commands that were taken.</summary>
    internal int Reserved { get; set; }

    /// <summary>How many submission queues complete here.</summary>
    internal int Users { get; set; }

    /// <summary>Something was written and no interrupt sent since.</summary>
    internal bool WantsInterrupt { get; set; }

    /// <summary>The host has been interrupted for entries that it had not read then; <see cref="Head"/> was at <see cref="InterruptHead"/>.</summary>
    internal bool IsInterrupting { get; set; }

    internal uint InterruptHead { get; set; }

    /// <summary>A submission queue waits for room here.</summary>
    internal bool IsBlocking { get; set; }

    /// <summary>The value for which the host was last asked to write the register, among shadow doorbells; nothing known: all ones.</summary>
    internal uint Armed { get; set; } = uint.MaxValue;

    /// <summary>The last doorbell value that could not be, so that it is told once; none: all ones.</summary>
    internal uint BadDoorbell { get; set; } = uint.MaxValue;

    internal uint Unread => Tail >= Head ? Tail - Head : Tail + entries - Head;

    /// <summary>Whether one more command may be taken: the queue never holds more than one less than its entries.</summary>
    internal bool HasRoom => Unread + (uint)Reserved < entries - 1;

    /// <summary>An entry is being written by copies.</summary>
    /// <returns>Whether the half with the result has to be written, too.</returns>
    internal bool MustWriteResult(uint index, uint result)
    {
        _zeroResults ??= new bool[entries];
        bool isThere = _zeroResults[index] && result == 0;
        _zeroResults[index] = result == 0;
        return !isThere;
    }

    /// <summary>An entry is being written directly.</summary>
    internal void ResultWritten(uint index, uint result)
    {
        if (_zeroResults is { } zero)
        {
            zero[index] = result == 0;
        }
    }
}
