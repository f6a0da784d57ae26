namespace Penstock.Devices;

/// <summary>A submission queue as the controller keeps it. All members are used on the strand.</summary>
internal sealed class NvmeSubmissionQueue(ushort id, ulong address, uint entries, NvmeCompletionQueue completions)
{
    internal ushort Id => id;

    /// <summary>I/O address of the first entry.</summary>
    internal ulong Address => address;

    internal uint Entries => entries;

    internal NvmeCompletionQueue Completions => completions;

    /// <summary>The next entry to take.</summary>
    internal uint Head { get; set; }

    /// <summary>What the host has written up to, as far as the controller knows.</summary>
    internal uint Tail { get; set; }

    /// <summary>Commands taken and not completed; requests for events that are kept do not count.</summary>
    internal int Outstanding { get; set; }

    /// <summary>A command that deletes the queue waits for those that are outstanding; nothing is taken any more.</summary>
    internal bool IsDeleting { get; set; }

    /// <summary>The value for which the host was last asked to write the register, among shadow doorbells; nothing known: all ones.</summary>
    internal uint Armed { get; set; } = uint.MaxValue;

    /// <summary>The last doorbell value that could not be, so that it is told once; none: all ones.</summary>
    internal uint BadDoorbell { get; set; } = uint.MaxValue;

    internal uint Waiting => Tail >= Head ? Tail - Head : Tail + entries - Head;
}
