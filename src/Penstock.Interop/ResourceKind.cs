namespace Penstock.Interop;

/// <summary>The kinds of things that have exactly one owner and are counted by a <see cref="ResourceLedger"/>.</summary>
public enum ResourceKind
{
    /// <summary>A file descriptor, eventfds and sockets included.</summary>
    Descriptor,

    /// <summary>A mapping of memory into this process.</summary>
    Mapping,

    /// <summary>A pin on user memory.</summary>
    Pin,

    /// <summary>A dedicated thread.</summary>
    Thread,

    /// <summary>A block of native memory.</summary>
    NativeBlock,
}
