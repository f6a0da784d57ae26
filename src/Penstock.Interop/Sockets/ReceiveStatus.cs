namespace Penstock.Interop;

/// <summary>What <see cref="FramedReceiver.Receive"/> found.</summary>
public enum ReceiveStatus
{
    /// <summary>A whole message.</summary>
    Message,

    /// <summary>Nothing more for now; only without waiting.</summary>
    WouldBlock,

    /// <summary>The peer ended the stream between two messages.</summary>
    End,

    /// <summary>The peer ended the stream inside a message, or the connection broke.</summary>
    Broken,

    /// <summary>A header with an impossible length: nothing after it can be understood. The header is in the message.</summary>
    BadLength,

    /// <summary>Descriptors were lost or too many are waiting: messages and descriptors can no longer be told together.</summary>
    DescriptorsLost,
}
