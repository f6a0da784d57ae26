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

    /// <summary>Sends as much of what was kept as the kernel takes now.</summary>
    /// <returns>None, also when something is left; or the error that ended the connection.</returns>
    public Errno Flush()
    {
        while (_end != 0)
        {
            Errno errno = socket.TrySend(_backlog.AsSpan(_start, _end - _start), out int sent);
            if (errno != Errno.None)
            {
                return errno == Errno.EAGAIN ? Errno.None : errno;
            }

            _start += sent;
            if (_start == _end)
            {
                _start = 0;
                Volatile.Write(ref _end, 0);
            }
        }

        return Errno.None;
    }

    public void Dispose() => Gate.Dispose();

    private void Keep(ReadOnlySpan<byte> rest)
    {
        int kept = _end - _start;
        if (_backlog.Length - _end < rest.Length)
        {
            byte[] target = _backlog;
            if (target.Length < kept + rest.Length)
            {
                target = new byte[Math.Max(64 * 1024, (kept + rest.Length) * 2)];
            }

            Buffer.BlockCopy(_backlog, _start, target, 0, kept);
            _backlog = target;
            _start = 0;
        }

        rest.CopyTo(_backlog.AsSpan(_start + kept));
        Volatile.Write(ref _end, _start + kept + rest.Length);
    }
}
