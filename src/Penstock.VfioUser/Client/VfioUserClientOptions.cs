using Penstock.Interop;

namespace Penstock.VfioUser;

/// <summary>How a client treats its server.</summary>
public sealed record VfioUserClientOptions
{
    private readonly Action<string>? _log;

    /// <summary>How long a server may take for a reply, and to read what is sent. The default is what a QEMU grants, with a margin.</summary>
    public TimeSpan ReplyTime { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>How long to wait for a place in the queue of the server's socket.</summary>
    public TimeSpan ConnectTime { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>
    /// For a <see cref="RemoteVfioDevice"/>: how long an open may take in all, from the connection to the last map that is sent: a server may
    /// use up <see cref="ReplyTime"/> for each of many commands. What is over it ends with ETIMEDOUT.
    /// </summary>
    public TimeSpan OpenTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Ask for a socket of its own for the server's commands, so that neither side's commands wait for the other's.</summary>
    public bool TwinSocket { get; init; } = true;

    /// <summary>
    /// For a <see cref="RemoteVfioDevice"/>: do not wait for writes to BARs, as on a real bus. Errors of such a write stay unseen, and a
    /// later command of any kind comes after it.
    /// </summary>
    public bool PostedWrites { get; init; }

    /// <summary>
    /// For a <see cref="RemoteVfioDevice"/>: never touch the server's memory directly, but copy through its descriptor, so that a file that
    /// shrinks is an error and not the end.
    /// </summary>
    public bool Guard { get; init; }

    /// <summary>Where descriptors, threads and native memory are counted, if anywhere. A <see cref="RemoteVfioDevice"/> takes its host's instead.</summary>
    public ResourceLedger? Ledger { get; init; }

    /// <summary>One line for people, for each thing that somebody should know; called from any thread. One that throws is not called again.</summary>
    public Action<string>? Log
    {
        get => _log;
        init => _log = LogSink.Contain(value);
    }
}
