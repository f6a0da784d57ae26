using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>A command as its caller sees it. All spans stay the caller's until the call has returned.</summary>
internal readonly ref struct ClientCall
{
    public required VfioUserCommand Command { get; init; }

    /// <summary>The request's structure.</summary>
    public ReadOnlySpan<byte> Head { get; init; }

    /// <summary>What follows the structure.</summary>
    public ReadOnlySpan<byte> Data { get; init; }

    /// <summary>Descriptors to pass.</summary>
    public ReadOnlySpan<int> Descriptors { get; init; }

    /// <summary>Receives the first bytes of the reply's payload.</summary>
    public Span<byte> ReplyHead { get; init; }

    /// <summary>Receives the bytes after <see cref="ReplyHead"/>. A reply that has more than both hold is refused.</summary>
    public Span<byte> ReplyData { get; init; }

    /// <summary>A reply with less payload than this is refused.</summary>
    public int LeastReply { get; init; }

    /// <summary>How many of the reply's descriptors are wanted; the others are closed.</summary>
    public int WantedDescriptors { get; init; }

    /// <summary>Without a sound answer nobody knows what the server believes, so the connection ends.</summary>
    public bool IsVital { get; init; }

    public CancellationToken Cancellation { get; init; }
}
