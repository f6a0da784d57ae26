namespace Penstock.Drivers;

/// <summary>How an <see cref="NvmeDriver"/> uses its controller.</summary>
public sealed class NvmeDriverOptions
{
    /// <summary>Queue pairs for the asynchronous calls; the synchronous calls have one of their own.</summary>
    public int QueuePairs { get; init; } = 1;

    /// <summary>Entries of an I/O queue, 2 to 4096; the controller's limit holds. One less is how many commands are under way at once.</summary>
    public int QueueDepth { get; init; } = 128;

    /// <summary>
    /// Whether asynchronous calls are completed by MSI-X interrupts. Without, and where the device has none, a thread polls while
    /// commands are under way.
    /// </summary>
    public bool Interrupts { get; init; } = true;

    /// <summary>Whether to write doorbells through a mapping where the device offers one.</summary>
    public bool MapDoorbells { get; init; } = true;

    /// <summary>Whether to use shadow doorbells where the controller offers them and doorbells are not mapped.</summary>
    public bool ShadowDoorbells { get; init; } = true;

    /// <summary>Most bytes of one command, a multiple of 4096 up to 2 MiB; the controller's limit holds. Longer calls are split.</summary>
    public int TransferSize { get; init; } = 128 * 1024;

    /// <summary>The namespace; 0 for the first active one.</summary>
    public uint NamespaceId { get; init; }

    /// <summary>How long a command may take before the controller counts as failed.</summary>
    public TimeSpan CommandTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether a controller that failed, or was reset by somebody else, is set up again by itself. Commands that were under way fail in any case.
    /// </summary>
    public bool RecoversByItself { get; init; } = true;

    /// <summary>Receives a line for each thing that somebody should know. Called from any thread; must not block or throw.</summary>
    public Action<string>? Log { get; init; }
}
