using Penstock.Interop;

namespace Penstock.VfioUser;

/// <summary>
/// The sending half of a connection. Never blocks the thread that also receives: what the kernel does not take at once is kept, up to a
/// limit, and goes out when the peer reads again. All members but <see cref="HasBacklog"/> and <see cref="Gate"/> are for the gate's holder.
/// </summary>
internal sealed class MessageSender(UnixSocket socket) : IDisposable
{
    /// <summary>A peer that leaves more than this unread is not served further until it reads.</summary>
    internal const int BacklogLimit = 4 << 20;

    private const int SmallestBacklog = 64 << 10;

    // Messages with descriptors in the backlog: where they begin, counted from the first byte that was ever kept.
    private readonly Queue<(long Position, int Length, int[] Descriptors)> _attached = [];
    private long _flushed;

    private byte[] _backlog = [];
    private int _start;
    private int _end;

    /// <summary>Whoever sends holds it.</summary>
    public SendGate Gate { get; } = new();

    /// <summary>Whether something waits for the peer to read.</summary>
    public bool HasBacklog => Volatile.Read(ref _end) != 0;

    /// <summary>Whether the peer has to read before more may be sent.</summary>
    public bool IsOverLimit => _end - _start > BacklogLimit;

    /// <summary>Sends a message, or the rest of it later.</summary>
    /// <param name="message">A whole message.</param>
    /// <returns>None, or the error that ended the connection.</returns>
    public Errno Send(ReadOnlySpan<byte> message)
    {
        if (_end == 0)
        {
            Errno errno = socket.TrySend(message, out int sent);
            if (errno == Errno.None && sent == message.Length)
            {
                return Errno.None;
            }

            if (errno is not (Errno.None or Errno.EAGAIN))
            {
                return errno;
            }

            message = message[sent..];
        }

        Keep(message);
        return Errno.None;
    }

    /// <summary>As <see cref="Send(ReadOnlySpan{byte})"/>, with descriptors on the message's first byte.</summary>
    /// <param name="message">A whole message.</param>
    /// <param name="descriptors">The descriptors; they stay the caller's, who keeps them open as long as the connection.</param>
    /// <returns>As without.</returns>
    public Errno Send(ReadOnlySpan<byte> message, ReadOnlySpan<int> descriptors)
    {
        if (_end == 0)
        {
            Errno errno = socket.TrySend(message, descriptors, out int sent);
            if (errno is not (Errno.None or Errno.EAGAIN))
            {
                return errno;
            }

            message = message[sent..];
            if (message.IsEmpty)
            {
                return Errno.None;
            }

            descriptors = sent == 0 ? descriptors : default;
        }

        if (!descriptors.IsEmpty)
        {
            _attached.Enqueue((_flushed + _end - _start, message.Length, descriptors.ToArray()));
        }

        Keep(message);
        return Errno.None;
    }

    /// <summary>Sends as much of what was kept as the kernel takes now.</summary>
    /// <returns>None, also when something is left; or the error that ended the connection.</returns>
    public Errno Flush()
    {
        while (_end != 0)
        {
            Errno errno = FlushOnce(out int sent);
            if (errno != Errno.None)
            {
                return errno == Errno.EAGAIN ? Errno.None : errno;
            }

            _start += sent;
            _flushed += sent;
            if (_start == _end)
            {
                _start = 0;
                Volatile.Write(ref _end, 0);
            }
        }

        return Errno.None;
    }

    public void Dispose() => Gate.Dispose();

    /// <summary>A message with descriptors goes out by a call of its own: many a receiver gives them to the last message of a call.</summary>
    private Errno FlushOnce(out int sent)
    {
        if (!_attached.TryPeek(out (long Position, int Length, int[] Descriptors) next))
        {
            return socket.TrySend(_backlog.AsSpan(_start, _end - _start), out sent);
        }

        if (next.Position != _flushed)
        {
            return socket.TrySend(_backlog.AsSpan(_start, (int)(next.Position - _flushed)), out sent);
        }

        Errno errno = socket.TrySend(_backlog.AsSpan(_start, next.Length), next.Descriptors, out sent);
        if (sent != 0)
        {
            _attached.Dequeue();
        }

        return errno;
    }

    private void Keep(ReadOnlySpan<byte> rest)
    {
        int kept = _end - _start;
        if (_backlog.Length - _end < rest.Length)
        {
            byte[] target = _backlog;
            if (target.Length < kept + rest.Length)
            {
                target = new byte[Math.Max(SmallestBacklog, (kept + rest.Length) * 2)];
            }

            Buffer.BlockCopy(_backlog, _start, target, 0, kept);
            _backlog = target;
            _start = 0;
        }

        rest.CopyTo(_backlog.AsSpan(_start + kept));
        Volatile.Write(ref _end, _start + kept + rest.Length);
    }
}
