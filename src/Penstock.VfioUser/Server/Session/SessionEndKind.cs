namespace Penstock.VfioUser;

/// <summary>The kinds of ends of a session.</summary>
public enum SessionEndKind
{
    /// <summary>The client closed its end between two messages.</summary>
    ClientClosed,

    /// <summary>The connection broke, or ended inside a message.</summary>
    ClientVanished,

    /// <summary>The client broke the framing or the negotiation; it was disconnected.</summary>
    ProtocolViolation,

    /// <summary>The client sends but does not read; it was disconnected.</summary>
    ClientNotReading,

    /// <summary>The device could not be opened for the client.</summary>
    Refused,

    /// <summary>The server was stopped.</summary>
    Stopped,

    /// <summary>A fault of this server; the log has the details.</summary>
    Fault,
}
