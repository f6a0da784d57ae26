namespace Penstock.Interop;

/// <summary>What to wait for on a descriptor, and what happened. Values are those of POLLIN and so on, shared by poll and epoll.</summary>
[Flags]
public enum PollEvents : short
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Something to read, or the end of the stream.</summary>
    In = 1,

    /// <summary>Room to write.</summary>
    Out = 4,

    /// <summary>An error; always reported.</summary>
    Error = 8,

    /// <summary>The peer hung up; always reported.</summary>
    HangUp = 16,

    /// <summary>Not an open descriptor; poll only, always reported.</summary>
    Invalid = 32,
}
