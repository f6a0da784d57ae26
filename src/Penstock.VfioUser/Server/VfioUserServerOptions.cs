using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.VfioUser;

/// <summary>How a server treats its clients.</summary>
public sealed record VfioUserServerOptions
{
    /// <summary>Serve one client, then end.</summary>
    public bool Once { get; init; }

    /// <summary>The kind of I/O address space that a client's mappings fill.</summary>
    public VfioIommuType IommuType { get; init; } = VfioIommuType.Type1V2;

    /// <summary>Never touch a client's memory directly: copy through its descriptor, so that a file that shrinks is an error and not the end.</summary>
    public bool Guard { get; init; }

    /// <summary>
    /// How long a client may leave replies unread before it is disconnected, and how long it may take to answer a DMA message before that
    /// fails with ETIMEDOUT. The default ends well before the 5 s after which QEMU gives up on the server.
    /// </summary>
    public TimeSpan PeerTimeout { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>The processor that sessions and the device's posted work run on, or null for any.</summary>
    public int? Processor { get; init; }

    private readonly Action<string>? _log;

    /// <summary>One line for people, for each thing that happens. One that throws is not called again.</summary>
    public Action<string>? Log
    {
        get => _log;
        init => _log = LogSink.Contain(value);
    }

    /// <summary>Sees every message, for recording.</summary>
    public IMessageObserver? Observer { get; init; }

    /// <summary>Called with the connection of a client that has negotiated, before <see cref="ClientConnected"/>. It stays the session's.</summary>
    public Action<UnixSocket>? ConnectionMade { get; init; }

    /// <summary>Called when a client has negotiated.</summary>
    public Action? ClientConnected { get; init; }

    /// <summary>Called when a session has ended and everything that it held is given back.</summary>
    public Action<SessionEnd>? ClientEnded { get; init; }
}
