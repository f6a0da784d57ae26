namespace Penstock.Interop;

/// <summary>
/// A connected Unix stream socket that can pass descriptors. One thread may receive while others send, but sends must not overlap:
/// a message that is cut by another one cannot be put together again.
/// </summary>
public sealed unsafe class UnixSocket : IDisposable
{
    /// <summary>The most descriptors that the kernel passes with one message (SCM_MAX_FD).</summary>
    public const int MaximumDescriptors = 253;

    /// <summary>Bytes of a control message with as many descriptors as there can be.</summary>
    internal const int ControlRoom = 16 + (MaximumDescriptors * sizeof(int)) + 4;

    private readonly OwnedDescriptor _descriptor;

    // Between Shutdown and Dispose only: a number that was closed may be somebody else's already.
    private readonly Lock _closing = new();

    internal UnixSocket(OwnedDescriptor descriptor) => _descriptor = descriptor;

    /// <summary>The descriptor's number, for waiting on it.</summary>
    public int Descriptor => _descriptor.Value;

    /// <summary>Makes two sockets that are connected to each other.</summary>
    /// <param name="ledger">Where the descriptors are counted, if anywhere.</param>
    /// <returns>Both ends.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public static (UnixSocket First, UnixSocket Second) CreatePair(ResourceLedger? ledger = null)
    {
        int* ends = stackalloc int[2];
        if (Native.socketpair(Native.AF_UNIX, Native.SOCK_STREAM | Native.SOCK_CLOEXEC, 0, ends) != 0)
        {
            throw Native.Failure("socketpair", "a Unix stream pair");
        }

        return (new UnixSocket(new OwnedDescriptor(ends[0], ledger)), new UnixSocket(new OwnedDescriptor(ends[1], ledger)));
    }

    /// <summary>Connects to a listening socket.</summary>
    /// <param name="path">Its path, at most 107 bytes.</param>
    /// <param name="ledger">Where the descriptor is counted, if anywhere.</param>
    /// <returns>The connection.</returns>
    /// <exception cref="SystemCallException">Nobody listens there (ECONNREFUSED, ENOENT), or the path is too long (ENAMETOOLONG).</exception>
    public static UnixSocket Connect(string path, ResourceLedger? ledger = null) => Connect(path, Timeout.InfiniteTimeSpan, ledger);

    /// <summary>Connects to a listening socket, and does not wait for ever where too many others wait to be accepted.</summary>
    /// <param name="path">Its path, at most 107 bytes.</param>
    /// <param name="wait">How long to wait for a place in the queue, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <param name="ledger">Where the descriptor is counted, if anywhere.</param>
    /// <returns>The connection.</returns>
    /// <exception cref="SystemCallException">As without a time; EAGAIN: it was up.</exception>
    public static UnixSocket Connect(string path, TimeSpan wait, ResourceLedger? ledger = null)
    {
        OwnedDescriptor descriptor = UnixSocketAddress.CreateSocket(ledger);
        byte* address = stackalloc byte[UnixSocketAddress.MaximumLength];
        try
        {
            if (wait != Timeout.InfiniteTimeSpan)
            {
                SetTime(descriptor, Native.SO_SNDTIMEO, wait);
            }

            uint length = UnixSocketAddress.Write(path, address);
            while (Native.connect(descriptor.Value, address, length) != 0)
            {
                if (Native.LastError != Errno.EINTR)
                {
                    throw Native.Failure("connect", path);
                }
            }

            return new UnixSocket(descriptor);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <summary>Becomes the owner of a descriptor that somebody passed, after verifying that it is a Unix stream socket.</summary>
    /// <param name="descriptor">The descriptor; on failure it stays the caller's.</param>
    /// <returns>The socket.</returns>
    /// <exception cref="SystemCallException">EINVAL: it is something else; ENOTSOCK.</exception>
    public static UnixSocket Adopt(OwnedDescriptor descriptor)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        return OptionOf(descriptor, Native.SO_DOMAIN) == Native.AF_UNIX && OptionOf(descriptor, Native.SO_TYPE) == Native.SOCK_STREAM
            ? new UnixSocket(descriptor)
            : throw new SystemCallException("socket check", $"descriptor {descriptor.Value}, which is no Unix stream socket", Errno.EINVAL);
    }

    /// <summary>Lets a receive that waits end with EAGAIN when nothing has come for this long.</summary>
    /// <param name="time">How long.</param>
    /// <exception cref="SystemCallException">The system refused.</exception>
    public void SetReceiveTimeout(TimeSpan time) => SetTime(_descriptor, Native.SO_RCVTIMEO, time);

    /// <summary>Asks the kernel who the peer is.</summary>
    /// <returns>The credentials.</returns>
    /// <exception cref="SystemCallException">The socket is not connected.</exception>
    public PeerCredentials GetPeerCredentials()
    {
        Native.PeerCredentialsBuffer buffer;
        uint length = (uint)sizeof(Native.PeerCredentialsBuffer);

        // SAFETY: the buffer has the length that is passed.
        return Native.getsockopt(Descriptor, Native.SOL_SOCKET, Native.SO_PEERCRED, &buffer, &length) != 0
            ? throw Native.Failure("getsockopt(SO_PEERCRED)", "a connection")
            : new PeerCredentials(buffer.ProcessId, buffer.UserId, buffer.GroupId);
    }

    /// <summary>Sends without waiting.</summary>
    /// <param name="bytes">What to send.</param>
    /// <param name="sent">How much of it the kernel took.</param>
    /// <returns>None; EAGAIN when the kernel took nothing for now; EPIPE or ECONNRESET when the peer has gone.</returns>
    public Errno TrySend(ReadOnlySpan<byte> bytes, out int sent)
    {
        while (true)
        {
            nint n;

            // SAFETY: the span is pinned for the call.
            fixed (byte* start = bytes)
            {
                n = Native.send(Descriptor, start, (nuint)bytes.Length, Native.MSG_NOSIGNAL | Native.MSG_DONTWAIT);
            }

            if (n >= 0)
            {
                sent = (int)n;
                return Errno.None;
            }

            Errno errno = Native.SystemError;
            if (errno != Errno.EINTR)
            {
                sent = 0;
                return errno;
            }
        }
    }

    /// <summary>Sends without waiting, with descriptors riding on the first byte: they go when at least one byte does.</summary>
    /// <param name="bytes">What to send, at least one byte.</param>
    /// <param name="descriptors">Descriptors to pass, at most <see cref="MaximumDescriptors"/>; they stay open here.</param>
    /// <param name="sent">How much of it the kernel took.</param>
    /// <returns>As without descriptors; ETOOMANYREFS when too many descriptors of this user wait for readers.</returns>
    public Errno TrySend(ReadOnlySpan<byte> bytes, ReadOnlySpan<int> descriptors, out int sent)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, MaximumDescriptors);
        byte* control = stackalloc byte[ControlSpace(descriptors.Length)];
        nuint controlLength = WriteControl(control, descriptors);

        // SAFETY: the span is pinned for the calls; the control buffer has room for all descriptors.
        fixed (byte* start = bytes)
        {
            var vector = new Native.IoVector { Base = start, Length = (nuint)bytes.Length };
            var message = new Native.MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = controlLength };
            while (true)
            {
                nint n = Native.sendmsg(Descriptor, &message, Native.MSG_NOSIGNAL | Native.MSG_DONTWAIT);
                Errno errno = n >= 0 ? Errno.None : Native.LastError;
                if (errno != Errno.EINTR)
                {
                    sent = (int)Math.Max(n, 0);
                    return errno;
                }
            }
        }
    }

    /// <summary>Sends everything, waiting as long as it takes, with descriptors riding on the first byte.</summary>
    /// <param name="bytes">The message, at least one byte.</param>
    /// <param name="descriptors">Descriptors to pass; they stay open here.</param>
    /// <exception cref="SystemCallException">The peer has gone (EPIPE), or a descriptor is not open (EBADF).</exception>
    public void Send(ReadOnlySpan<byte> bytes, ReadOnlySpan<int> descriptors = default)
    {
        ArgumentOutOfRangeException.ThrowIfZero(bytes.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, MaximumDescriptors);
        byte* control = stackalloc byte[ControlSpace(descriptors.Length)];

        // SAFETY: the spans are pinned for the calls; the control buffer has room for all descriptors.
        fixed (byte* start = bytes)
        {
            int done = 0;
            while (done < bytes.Length)
            {
                var vector = new Native.IoVector { Base = start + done, Length = (nuint)(bytes.Length - done) };
                var message = new Native.MessageHeader { Vectors = &vector, VectorCount = 1 };
                if (done == 0 && descriptors.Length > 0)
                {
                    message.Control = control;
                    message.ControlLength = WriteControl(control, descriptors);
                }

                nint n = Native.sendmsg(Descriptor, &message, Native.MSG_NOSIGNAL);
                if (n >= 0)
                {
                    done += (int)n;
                }
                else if (Native.LastError != Errno.EINTR)
                {
                    throw Native.Failure("sendmsg", "a connection");
                }
            }
        }
    }

    /// <summary>
    /// Ends both directions, so that a thread that waits in a receive returns. Closing alone would not wake it.
    /// May be called from any thread, also while another disposes.
    /// </summary>
    public void Shutdown()
    {
        lock (_closing)
        {
            if (!_descriptor.IsClosed)
            {
                // An error only means that the peer was faster.
                _ = Native.shutdown(Descriptor, Native.SHUT_RDWR);
            }
        }
    }

    /// <summary>Closes the socket. No thread may be inside another member, <see cref="Shutdown"/> excepted.</summary>
    public void Dispose()
    {
        lock (_closing)
        {
            _descriptor.Dispose();
        }
    }

    /// <summary>
    /// One receive. Descriptors that came are written, already close-on-exec, to <paramref name="descriptors"/>.
    /// </summary>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="length">Room there.</param>
    /// <param name="control">
    /// <see cref="ControlRoom"/> bytes of native memory. Not on the stack, which would be zeroed in whatever frame this is inlined into, or keep the
    /// compiler from compiling this anew with what it has seen of it.
    /// </param>
    /// <param name="descriptors">Room for <see cref="MaximumDescriptors"/> numbers.</param>
    /// <param name="descriptorCount">How many came; the caller owns them, also when an error is returned.</param>
    /// <param name="wait">Whether to wait for the first byte.</param>
    /// <param name="received">Bytes received; 0 at the end of the stream.</param>
    /// <returns>None; EAGAIN; EPROTO when the kernel had to drop descriptors; the error of recvmsg(2).</returns>
    internal Errno Receive(byte* buffer, nuint length, byte* control, Span<int> descriptors, out int descriptorCount, bool wait, out int received)
    {
        descriptorCount = 0;
        received = 0;
        while (true)
        {
            var vector = new Native.IoVector { Base = buffer, Length = length };
            var message = new Native.MessageHeader
            {
                Vectors = &vector,
                VectorCount = 1,
                Control = control,
                ControlLength = ControlRoom,
            };

            // SAFETY: both buffers have the lengths that are passed.
            nint n = Native.recvmsg(Descriptor, &message, Native.MSG_CMSG_CLOEXEC | (wait ? 0 : Native.MSG_DONTWAIT));
            if (n < 0)
            {
                Errno errno = Native.SystemError;
                if (errno == Errno.EINTR)
                {
                    continue;
                }

                return errno;
            }

            received = (int)n;
            if (message.ControlLength != 0)
            {
                descriptorCount = ReadControl(control, message.ControlLength, descriptors);
            }

            return (message.Flags & Native.MSG_CTRUNC) != 0 ? Errno.EPROTO : Errno.None;
        }
    }

    private static int OptionOf(OwnedDescriptor descriptor, int option)
    {
        int value = 0;
        uint length = sizeof(int);

        // SAFETY: four bytes on this stack.
        return Native.getsockopt(descriptor.Value, Native.SOL_SOCKET, option, &value, &length) == 0
            ? value
            : throw Native.Failure("getsockopt", $"descriptor {descriptor.Value}");
    }

    private static void SetTime(OwnedDescriptor descriptor, int option, TimeSpan time)
    {
        // struct timeval; zeroes would mean no end.
        long microseconds = Math.Max(1, (long)time.TotalMicroseconds);
        long* value = stackalloc long[2] { microseconds / 1_000_000, microseconds % 1_000_000 };

        // SAFETY: the structure is on this stack and as long as is said.
        if (Native.setsockopt(descriptor.Value, Native.SOL_SOCKET, option, value, 2 * sizeof(long)) != 0)
        {
            throw Native.Failure("setsockopt", $"descriptor {descriptor.Value}");
        }
    }

    private static int ControlSpace(int descriptors) => sizeof(Native.ControlHeader) + (((descriptors * sizeof(int)) + 7) & ~7);

    private static nuint WriteControl(byte* control, ReadOnlySpan<int> descriptors)
    {
        var header = (Native.ControlHeader*)control;
        header->Length = (nuint)(sizeof(Native.ControlHeader) + (descriptors.Length * sizeof(int)));
        header->Level = Native.SOL_SOCKET;
        header->Type = Native.SCM_RIGHTS;

        // SAFETY: ControlSpace reserved room for them behind the header.
        descriptors.CopyTo(new Span<int>(control + sizeof(Native.ControlHeader), descriptors.Length));
        return (nuint)ControlSpace(descriptors.Length);
    }

    private static int ReadControl(byte* control, nuint length, Span<int> descriptors)
    {
        int count = 0;
        nuint at = 0;
        nuint headerSize = (nuint)sizeof(Native.ControlHeader);
        while (at + headerSize <= length)
        {
            var header = (Native.ControlHeader*)(control + at);
            if (header->Length < headerSize || header->Length > length - at)
            {
                break;
            }

            if (header->Level == Native.SOL_SOCKET && header->Type == Native.SCM_RIGHTS)
            {
                int n = (int)((header->Length - headerSize) / sizeof(int));

                // SAFETY: the kernel wrote n numbers behind the header, inside the control buffer.
                new ReadOnlySpan<int>(control + at + headerSize, n).CopyTo(descriptors[count..]);
                count += n;
            }

            at += (header->Length + 7) & ~(nuint)7;
        }

        return count;
    }
}
