namespace Penstock.Interop;

/// <summary>
/// A file descriptor with exactly one owner. Disposing closes it, once; <see cref="Take"/> hands it to a new owner.
/// There is no finalizer: a descriptor that nobody closes shows in the ledger.
/// Dispose and Take may race with each other, but not with a call that uses <see cref="Value"/>.
/// </summary>
public sealed class OwnedDescriptor : IDisposable
{
    private readonly ResourceLedger? _ledger;
    private int _value;

    /// <summary>Becomes the owner of an open descriptor.</summary>
    /// <param name="value">The descriptor, at least 0.</param>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    public OwnedDescriptor(int value, ResourceLedger? ledger = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        _value = value;
        _ledger = ledger;
        ledger?.Acquired(ResourceKind.Descriptor);
    }

    private OwnedDescriptor(ResourceLedger? ledger, int value)
    {
        _value = value;
        _ledger = ledger;
    }

    /// <summary>The descriptor's number.</summary>
    /// <exception cref="ObjectDisposedException">It was closed or taken.</exception>
    public int Value
    {
        get
        {
            int value = Volatile.Read(ref _value);
            ObjectDisposedException.ThrowIf(value < 0, this);
            return value;
        }
    }

    /// <summary>Whether it was closed or taken.</summary>
    public bool IsClosed => Volatile.Read(ref _value) < 0;

    /// <summary>Becomes the owner of a descriptor that the ledger, if there is one, counts already.</summary>
    internal static OwnedDescriptor OfCounted(int value, ResourceLedger? ledger) => new(ledger, value);

    /// <summary>Gives up ownership without closing.</summary>
    /// <returns>The descriptor, now the caller's.</returns>
    /// <exception cref="ObjectDisposedException">It was closed or taken before.</exception>
    public int Take()
    {
        int value = Interlocked.Exchange(ref _value, -1);
        ObjectDisposedException.ThrowIf(value < 0, this);
        _ledger?.Released(ResourceKind.Descriptor);
        return value;
    }

    /// <summary>Makes a second descriptor of the same open file, close-on-exec, with an owner of its own.</summary>
    /// <param name="ledger">Where the new one is counted, if anywhere.</param>
    /// <returns>The duplicate.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public OwnedDescriptor Duplicate(ResourceLedger? ledger = null) => DuplicateOf(Value, ledger);

    /// <summary>As <see cref="Duplicate"/>, of a descriptor that is only borrowed.</summary>
    /// <param name="descriptor">The descriptor; stays its owner's.</param>
    /// <param name="ledger">Where the new one is counted, if anywhere.</param>
    /// <returns>The duplicate.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left, or this one is not open.</exception>
    public static OwnedDescriptor DuplicateOf(int descriptor, ResourceLedger? ledger = null)
    {
        int copy = Native.fcntl(descriptor, Native.F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
        {
            throw Native.Failure("fcntl(F_DUPFD_CLOEXEC)", $"descriptor {descriptor}");
        }

        return new OwnedDescriptor(copy, ledger);
    }

    /// <summary>Opens the file behind a descriptor once more, for reading, with a position of its own.</summary>
    internal static OwnedDescriptor OpenAgain(int descriptor, ResourceLedger? ledger)
    {
        string path = $"/proc/self/fd/{descriptor}";
        int again = Native.open(path, Native.O_RDONLY | Native.O_CLOEXEC | Native.O_NOCTTY | Native.O_NONBLOCK, 0);
        return again < 0 ? throw Native.Failure("open", path) : new OwnedDescriptor(again, ledger);
    }

    /// <summary>Closes the descriptor if it is still owned.</summary>
    public void Dispose()
    {
        int value = Interlocked.Exchange(ref _value, -1);
        if (value >= 0)
        {
            // Linux frees the number even when close reports an error; a retry could close somebody else's.
            _ = Native.close(value);
            _ledger?.Released(ResourceKind.Descriptor);
        }
    }
}
