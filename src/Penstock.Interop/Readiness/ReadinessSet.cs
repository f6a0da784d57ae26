using System.Diagnostics;

namespace Penstock.Interop;

/// <summary>epoll(7): waiting on many descriptors, each with a number of the caller's. Wait allocates nothing.</summary>
public sealed unsafe class ReadinessSet : IDisposable
{
    private readonly OwnedDescriptor _epoll;

    /// <summary>Creates an empty set.</summary>
    /// <param name="ledger">Where the descriptor is counted, if anywhere.</param>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public ReadinessSet(ResourceLedger? ledger = null)
    {
        int fd = Native.epoll_create1(Native.EPOLL_CLOEXEC);
        _epoll = fd < 0 ? throw Native.Failure("epoll_create1", "a new set") : new OwnedDescriptor(fd, ledger);
    }

    /// <summary>Adds a descriptor.</summary>
    /// <param name="descriptor">The descriptor; it must be removed before it is closed.</param>
    /// <param name="events">What to wait for.</param>
    /// <param name="tag">Reported when something happens.</param>
    /// <exception cref="SystemCallException">It is in the set (EEXIST), or of a kind that cannot be waited for (EPERM).</exception>
    public void Add(int descriptor, PollEvents events, ulong tag) => Control(Native.EPOLL_CTL_ADD, "ADD", descriptor, events, tag);

    /// <summary>Changes what to wait for.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="events">What to wait for.</param>
    /// <param name="tag">Reported when something happens.</param>
    /// <exception cref="SystemCallException">It is not in the set (ENOENT).</exception>
    public void Modify(int descriptor, PollEvents events, ulong tag) => Control(Native.EPOLL_CTL_MOD, "MOD", descriptor, events, tag);

    /// <summary>Removes a descriptor.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <exception cref="SystemCallException">It is not in the set (ENOENT).</exception>
    public void Remove(int descriptor) => Control(Native.EPOLL_CTL_DEL, "DEL", descriptor, PollEvents.None, 0);

    /// <summary>Waits until something happens.</summary>
    /// <param name="ready">Receives tags and events; at least one; at most as many as fit, the rest next time.</param>
    /// <param name="timeout">How long, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <returns>How many entries were written; 0 when the time was up.</returns>
    /// <exception cref="SystemCallException">The system refused.</exception>
    public int Wait(Span<(ulong Tag, PollEvents Events)> ready, TimeSpan timeout)
    {
        const int Most = 64;
        Native.EpollEvent* events = stackalloc Native.EpollEvent[Most];
        long start = Stopwatch.GetTimestamp();
        int n;

        // SAFETY: there is room for the number of events that is passed.
        while ((n = Native.epoll_wait(_epoll.Value, events, Math.Min(Most, ready.Length), Poll.MillisecondsLeft(start, timeout))) < 0)
        {
            if (Native.LastError != Errno.EINTR)
            {
                throw Native.Failure("epoll_wait", "a set");
            }
        }

        for (int i = 0; i < n; i++)
        {
            ready[i] = (events[i].Data, (PollEvents)(short)events[i].Events);
        }

        return n;
    }

    /// <inheritdoc/>
    public void Dispose() => _epoll.Dispose();

    private void Control(int op, string name, int descriptor, PollEvents events, ulong tag)
    {
        var ev = new Native.EpollEvent { Events = (uint)events, Data = tag };

        // SAFETY: the event is on this stack.
        if (Native.epoll_ctl(_epoll.Value, op, descriptor, &ev) != 0)
        {
            throw Native.Failure($"epoll_ctl({name})", $"descriptor {descriptor}");
        }
    }
}
