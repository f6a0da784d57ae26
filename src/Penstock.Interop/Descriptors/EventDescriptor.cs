namespace Penstock.Interop;

/// <summary>
/// An eventfd: a counter that one side adds to and the other drains. Made non-blocking, so that signalling does not wait,
/// whoever made the descriptor; a peer shares that flag and could take it back, so nobody signals under a lock that others need. Signal and
/// TryDrain may be called from any thread and allocate nothing.
/// </summary>
public sealed unsafe class EventDescriptor : IDisposable
{
    private const string KernelKind = "anon_inode:[eventfd]";

    // Somebody else has the same open file and with it the same flags.
    private readonly bool _shared;
    private readonly EventLife _life;
    private readonly bool _keepsOpen;
    private int _disposed;

    private EventDescriptor(OwnedDescriptor descriptor, bool shared = false, EventLife? life = null, bool keepsOpen = true)
    {
        Descriptor = descriptor;
        _shared = shared;
        _life = life ?? new EventLife();
        _keepsOpen = keepsOpen;
        if (keepsOpen)
        {
            _life.Add();
        }
    }

    /// <summary>The descriptor; this object owns it.</summary>
    public OwnedDescriptor Descriptor { get; }

    /// <summary>
    /// The kernel's number of the counter: the same for every descriptor of it, and nobody else's while one of them is open.
    /// </summary>
    /// <exception cref="SystemCallException">ENOSYS: the kernel does not tell (before Linux 5.2).</exception>
    public ulong Identity => FileFacts.EventIdentityOf(Descriptor.Value);

    /// <summary>Creates an eventfd with counter 0.</summary>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    /// <returns>The eventfd.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public static EventDescriptor Create(ResourceLedger? ledger = null)
    {
        int fd = Native.eventfd(0, Native.EFD_CLOEXEC | Native.EFD_NONBLOCK);
        return fd < 0
            ? throw Native.Failure("eventfd", "a new counter")
            : new EventDescriptor(new OwnedDescriptor(fd, ledger));
    }

    /// <summary>
    /// Becomes the owner of a descriptor that somebody else made, after verifying that it is an eventfd, and makes it non-blocking.
    /// On failure the descriptor stays with the caller.
    /// </summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <returns>The eventfd.</returns>
    /// <exception cref="SystemCallException">It is something else (EINVAL) or not open (EBADF).</exception>
    public static EventDescriptor Adopt(OwnedDescriptor descriptor)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        int fd = descriptor.Value;
        int flags = Native.fcntl(fd, Native.F_GETFL, 0);
        if (flags < 0)
        {
            throw Native.Failure("fcntl(F_GETFL)", $"descriptor {fd}");
        }

        string kind = FileFacts.KindOf(fd);
        if (kind != KernelKind)
        {
            throw new SystemCallException("eventfd check", $"descriptor {fd}, which is {kind}", Errno.EINVAL);
        }

        if ((flags & Native.O_NONBLOCK) == 0 && Native.fcntl(fd, Native.F_SETFL, flags | Native.O_NONBLOCK) < 0)
        {
            throw Native.Failure("fcntl(F_SETFL)", $"descriptor {fd}");
        }

        return new EventDescriptor(descriptor, shared: true);
    }

    /// <summary>Makes a second owner of the same counter.</summary>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    /// <returns>The duplicate.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public EventDescriptor Duplicate(ResourceLedger? ledger = null) => new(Descriptor.Duplicate(ledger), _shared, _life);

    /// <summary>
    /// Makes a descriptor for somebody who signals or drains the counter on its users' behalf: it does not count when <see cref="OnClosed"/>
    /// asks whether anybody still has the eventfd.
    /// </summary>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    /// <returns>The descriptor.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public EventDescriptor Hold(ResourceLedger? ledger = null) => new(Descriptor.Duplicate(ledger), _shared, _life, keepsOpen: false);

    /// <summary>
    /// Asks to be told when this descriptor and all duplicates made of it are closed, those of <see cref="Hold"/> aside. Descriptors in other
    /// processes, and numbers that were duplicated past this class, are not known.
    /// </summary>
    /// <param name="handler">Called once, on the thread that closes the last one; at once when it is closed already.</param>
    /// <returns>Disposing it takes the wish back; a call that has begun goes on.</returns>
    public IDisposable OnClosed(Action handler) => _life.Watch(handler);

    /// <summary>
    /// Adds 1. Does not wait: a counter that is full already says what a signal would say, and a peer that turned the
    /// descriptor into something unwritable only loses its own interrupts.
    /// </summary>
    /// <returns>None, EAGAIN when the counter is full, or the error of write(2).</returns>
    public Errno Signal()
    {
        // Whoever shares the flags may have taken O_NONBLOCK back, so a full counter is not found out by writing.
        if (_shared && (Poll.Wait(Descriptor.Value, PollEvents.Out, TimeSpan.Zero) & PollEvents.Out) == 0)
        {
            return Errno.EAGAIN;
        }

        ulong one = 1;
        while (true)
        {
            // SAFETY: eight bytes on this stack.
            if (Native.write(Descriptor.Value, &one, 8) == 8)
            {
                return Errno.None;
            }

            Errno errno = Native.LastError;
            if (errno != Errno.EINTR)
            {
                return errno;
            }
        }
    }

    /// <summary>Takes the counter, leaving 0; of an eventfd that its maker declared a semaphore, takes 1.</summary>
    /// <param name="count">What was there; 0 when nothing was signalled.</param>
    /// <returns>Whether anything was signalled.</returns>
    /// <exception cref="SystemCallException">The descriptor cannot be read.</exception>
    public bool TryDrain(out ulong count)
    {
        ulong value = 0;
        while (true)
        {
            // SAFETY: eight bytes on this stack. Not to wait is asked for by each call, since the flag may have been taken back.
            var vector = new Native.IoVector { Base = &value, Length = 8 };
            if (Native.preadv2(Descriptor.Value, &vector, 1, -1, Native.RWF_NOWAIT) == 8)
            {
                count = value;
                return true;
            }

            Errno errno = Native.LastError;
            if (errno == Errno.EAGAIN)
            {
                count = 0;
                return false;
            }

            if (errno != Errno.EINTR)
            {
                throw Native.Failure("read", "an eventfd");
            }
        }
    }

    /// <summary>
    /// Empties the counter and makes the descriptor non-blocking again, so that a thread that is stuck in <see cref="Signal"/>, because the
    /// peer filled a counter that it had made blocking, comes back. Signals that were not taken yet are lost.
    /// </summary>
    public void SetFree()
    {
        int fd = Descriptor.Value;
        int flags = Native.fcntl(fd, Native.F_GETFL, 0);
        if (flags >= 0)
        {
            _ = Native.fcntl(fd, Native.F_SETFL, flags | Native.O_NONBLOCK);
        }

        if ((Poll.Wait(fd, PollEvents.In, TimeSpan.Zero) & PollEvents.In) != 0)
        {
            TryDrain(out _);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Descriptor.Dispose();
            if (_keepsOpen)
            {
                _life.Remove();
            }
        }
    }
}
