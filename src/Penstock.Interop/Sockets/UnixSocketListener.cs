namespace Penstock.Interop;

/// <summary>A Unix socket that waits for connections at a path, which only the owner may use (mode 0600).</summary>
public sealed unsafe class UnixSocketListener : IDisposable
{
    /// <summary>Mode 0600.</summary>
    private const uint OwnerOnly = 0x180;

    private static readonly TimeSpan FolderPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FolderPause = TimeSpan.FromMilliseconds(5);

    private readonly OwnedDescriptor _descriptor;
    private readonly EventDescriptor _stop;
    private readonly ResourceLedger? _ledger;
    private readonly (ulong Device, ulong Inode) _identity;
    private readonly Lock _closing = new();
    private bool _disposed;

    private UnixSocketListener(string path, OwnedDescriptor descriptor, EventDescriptor stop, ResourceLedger? ledger)
    {
        Path = path;
        _descriptor = descriptor;
        _stop = stop;
        _ledger = ledger;
        _identity = FileFacts.IdentityOf(path);
    }

    /// <summary>Where it listens.</summary>
    public string Path { get; }

    /// <summary>
    /// Starts to listen. A socket file that nobody listens on any more is replaced; anything else at the path is left alone.
    /// </summary>
    /// <param name="path">The path, at most 107 bytes.</param>
    /// <param name="ledger">Where the descriptors are counted, if anywhere.</param>
    /// <returns>The listener.</returns>
    /// <exception cref="SystemCallException">
    /// The path is too long (ENAMETOOLONG), in use or not a socket (EADDRINUSE), or its folder does not exist (ENOENT).
    /// </exception>
    /// <remarks>
    /// Of several that start at the same moment one gets the path: each has the lock (flock) of the folder from its look at what is there until it listens. The
    /// lock ends with its process. Who may not read the folder, or finds it locked for ten seconds, goes on without.
    /// </remarks>
    public static UnixSocketListener Listen(string path, ResourceLedger? ledger = null) => Listen(path, ledger, FolderPatience);

    /// <summary>As the other one, for tests.</summary>
    /// <param name="path">The path.</param>
    /// <param name="ledger">Where the descriptors are counted.</param>
    /// <param name="patience">How long the folder's lock is waited for.</param>
    /// <param name="bound">Called when the file is there and nobody listens yet.</param>
    internal static UnixSocketListener Listen(string path, ResourceLedger? ledger, TimeSpan patience, Action? bound = null)
    {
        ArgumentNullException.ThrowIfNull(path);

        // Non-blocking: when two threads accept, the slower one must come back to its wait.
        OwnedDescriptor descriptor = UnixSocketAddress.CreateSocket(ledger, blocking: false);
        EventDescriptor? stop = null;
        OwnedDescriptor? folder = null;
        bool isBound = false;
        byte* address = stackalloc byte[UnixSocketAddress.MaximumLength];
        try
        {
            uint length = UnixSocketAddress.Write(path, address);

            // A socket that is bound and does not listen yet looks stale to others.
            folder = TryLockFolder(path, ledger, patience);

            // Before bind, so that the file never exists with more rights.
            if (Native.fchmod(descriptor.Value, OwnerOnly) != 0)
            {
                throw Native.Failure("fchmod", path);
            }

            // SAFETY: the structure is on this stack, filled, and as long as length says; so for the probe below.
            if (Native.bind(descriptor.Value, address, length) != 0)
            {
                Errno errno = Native.LastError;
                if (errno != Errno.EADDRINUSE || !RemoveStale(path))
                {
                    throw new SystemCallException("bind", path, errno);
                }

                if (Native.bind(descriptor.Value, address, length) != 0)
                {
                    throw Native.Failure("bind", path);
                }
            }

            isBound = true;
            bound?.Invoke();
            if (Native.listen(descriptor.Value, 8) != 0)
            {
                throw Native.Failure("listen", path);
            }

            stop = EventDescriptor.Create(ledger);
            return new UnixSocketListener(path, descriptor, stop, ledger);
        }
        catch
        {
            if (isBound)
            {
                _ = Native.unlink(path);
            }

            stop?.Dispose();
            descriptor.Dispose();
            throw;
        }
        finally
        {
            folder?.Dispose();
        }
    }

    /// <summary>Waits for the next connection.</summary>
    /// <returns>The connection, or null after <see cref="Stop"/>.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left, or the system refused.</exception>
    public UnixSocket? Accept()
    {
        while (true)
        {
            if (!Poll.Wait(_descriptor.Value, PollEvents.In, _stop.Descriptor.Value, Timeout.InfiniteTimeSpan, out _))
            {
                return null;
            }

            int fd = Native.accept4(_descriptor.Value, null, null, Native.SOCK_CLOEXEC);
            if (fd >= 0)
            {
                return new UnixSocket(new OwnedDescriptor(fd, _ledger));
            }

            // A client that left before it was accepted is no error.
            if (Native.LastError is not (Errno.EINTR or Errno.EAGAIN or Errno.ECONNABORTED))
            {
                throw Native.Failure("accept4", Path);
            }
        }
    }

    /// <summary>Makes every present and later <see cref="Accept"/> return null. May be called from any thread, also after <see cref="Dispose"/>.</summary>
    public void Stop()
    {
        lock (_closing)
        {
            if (!_disposed)
            {
                _ = _stop.Signal();
            }
        }
    }

    /// <summary>Closes the socket and removes its file, if it is still this one's. No thread may be inside <see cref="Accept"/>.</summary>
    public void Dispose()
    {
        lock (_closing)
        {
            // The open socket keeps its file number from being used again, so it is compared before closing.
            if (!_disposed && FileFacts.IdentityOf(Path) == _identity)
            {
                _ = Native.unlink(Path);
            }

            _disposed = true;
            _descriptor.Dispose();
            _stop.Dispose();
        }
    }

    private static OwnedDescriptor? TryLockFolder(string path, ResourceLedger? ledger, TimeSpan patience)
    {
        // With the dot nothing but a folder is opened.
        OwnedDescriptor folder;
        try
        {
            folder = DescriptorStorage.Open(path[..(path.LastIndexOf('/') + 1)] + ".", write: false, ledger: ledger);
        }
        catch (SystemCallException)
        {
            // What is wrong with it, if anything, the calls below say.
            return null;
        }

        long begun = System.Diagnostics.Stopwatch.GetTimestamp();
        while (DescriptorStorage.TryLock(folder.Value, exclusive: true) != Errno.None)
        {
            // Anybody who may read the folder may lock it for ever.
            if (System.Diagnostics.Stopwatch.GetElapsedTime(begun) >= patience)
            {
                break;
            }

            Thread.Sleep(FolderPause);
        }

        return folder;
    }

    private static bool RemoveStale(string path)
    {
        (ulong Device, ulong Inode) asked = FileFacts.IdentityOf(path);

        // Without waiting: a listener whose queue is full answers EAGAIN, and is alive.
        using OwnedDescriptor probe = UnixSocketAddress.CreateSocket(ledger: null, blocking: false);
        byte* address = stackalloc byte[UnixSocketAddress.MaximumLength];
        uint length = UnixSocketAddress.Write(path, address);
        Errno errno;
        do
        {
            errno = Native.connect(probe.Value, address, length) == 0 ? Errno.None : Native.LastError;
        }
        while (errno == Errno.EINTR);

        // What was refused, not what somebody without the folder's lock may have put there since.
        return errno == Errno.ECONNREFUSED && FileFacts.IsSocket(path) && FileFacts.IdentityOf(path) == asked && Native.unlink(path) == 0;
    }
}
