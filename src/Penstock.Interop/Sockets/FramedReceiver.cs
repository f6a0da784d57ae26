using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Penstock.Interop;

/// <summary>
/// Cuts a Unix stream into messages, giving each the descriptors that were sent with it. Takes as much per system call as there is:
/// Linux ends a read behind the piece that carried descriptors, so they belong to the last message that begins inside that
/// read, provided that the peer sends each message with a call of its own. A peer that breaks the rule visibly (descriptors in a read in
/// which no message begins) is read header by header from then on. Several messages and descriptors packed into one call break it invisibly:
/// the descriptors go to the last of those messages that the read reached. For one thread; allocates nothing after construction.
/// </summary>
public sealed unsafe class FramedReceiver : IDisposable
{
    private const int PendingLimit = 1024;
    private const int SpareRoom = 64 * 1024;
    private const int ControlAlignment = 64;

    // Positions in the buffer plus one more message stay inside an int.
    private const int LongestMaximum = 1 << 30;

    private readonly UnixSocket _socket;
    private readonly FrameFormat _format;
    private readonly ResourceLedger? _ledger;
    private readonly int _capacity;

    // Where in the buffer's block control messages are received, behind all data.
    private readonly int _control;
    private readonly int[] _arrived = new int[UnixSocket.MaximumDescriptors];

    // Descriptors of messages that are not given out yet: numbers, and the stream position of the message that each belongs to.
    private readonly int[] _pending = new int[PendingLimit];
    private readonly long[] _pendingOwner = new long[PendingLimit];
    private int _pendingCount;

    // Descriptors of the message that was given out last; -1 where taken.
    private readonly int[] _current = new int[PendingLimit];
    private int _currentCount;

    private byte* _buffer;
    private int _start;
    private int _end;
    private int _badHeader;
    private long _streamPosition;
    private bool _exact;
    private ReceiveStatus _ended = ReceiveStatus.Message;

    /// <summary>Creates a receiver for one socket.</summary>
    /// <param name="socket">The socket; stays the caller's.</param>
    /// <param name="format">How messages follow each other.</param>
    /// <param name="ledger">Where native memory and descriptors are counted, if anywhere.</param>
    public FramedReceiver(UnixSocket socket, FrameFormat format, ResourceLedger? ledger = null)
    {
        ArgumentNullException.ThrowIfNull(socket);
        ArgumentOutOfRangeException.ThrowIfNegative(format.SizeOffset);
        ArgumentOutOfRangeException.ThrowIfLessThan(format.HeaderLength, format.SizeOffset + sizeof(uint));
        ArgumentOutOfRangeException.ThrowIfLessThan(format.MaximumLength, format.HeaderLength);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(format.MaximumLength, LongestMaximum);
        _socket = socket;
        _format = format;
        _ledger = ledger;
        _capacity = format.MaximumLength + SpareRoom;
        _control = (_capacity + ControlAlignment - 1) & -ControlAlignment;
        _buffer = (byte*)NativeMemory.Alloc((nuint)_control + UnixSocket.ControlRoom);
        ledger?.Acquired(ResourceKind.NativeBlock);
    }

    /// <summary>How many descriptors came with the message that was given out last, taken ones included.</summary>
    public int DescriptorCount => _currentCount;

    /// <summary>Whether the peer broke the rule and is read header by header.</summary>
    public bool IsExact => _exact;

    /// <summary>Whether <see cref="Receive"/> would not touch the socket: a whole message or an impossible header waits, or the stream is over.</summary>
    public bool HasMessage =>
        _ended != ReceiveStatus.Message
        || (FrameAt(_start, out int length) && (length <= _end - _start || length > _format.MaximumLength));

    /// <summary>
    /// Whether <see cref="Receive"/> comes back with <see cref="ReceiveStatus.WouldBlock"/> after each piece of a message that is not whole yet, as
    /// <see cref="Peek"/> always does: a peer that sends byte by byte cannot keep a thread that has a clock to look at.
    /// </summary>
    public bool StopsAtPieces { get; init; }

    /// <summary>
    /// The error of recvmsg(2) that made <see cref="Receive"/> report <see cref="ReceiveStatus.Broken"/>; None when the stream ended inside
    /// a message, and while there is no error. ECONNRESET means that the peer closed with bytes of this side unread.
    /// </summary>
    public Errno Error { get; private set; }

    /// <summary>
    /// Gives the next message. Descriptors of the one before that nobody took are closed. After any status but
    /// <see cref="ReceiveStatus.Message"/> and <see cref="ReceiveStatus.WouldBlock"/> the stream is over, and the answer stays the same.
    /// </summary>
    /// <param name="wait">Whether to wait for it.</param>
    /// <param name="message">The message, or the impossible header; valid until the next call. The caller may change it.</param>
    /// <returns>What was found.</returns>
    public ReceiveStatus Receive(bool wait, out Span<byte> message)
    {
        CloseCurrent();
        for (bool hasPiece = false; ; hasPiece = true)
        {
            if (FrameAt(_start, out int length))
            {
                if (length < _format.HeaderLength || length > _format.MaximumLength)
                {
                    // Taken out of what is waiting: an answer that the caller makes in place must not be parsed.
                    _badHeader = _start;
                    _start = _end;
                    _ended = ReceiveStatus.BadLength;
                    AdoptPending();
                    message = new Span<byte>(_buffer + _badHeader, _format.HeaderLength);
                    return ReceiveStatus.BadLength;
                }

                if (length <= _end - _start)
                {
                    // SAFETY: length was checked against what is in the buffer.
                    message = new Span<byte>(_buffer + _start, length);
                    AdoptPending();
                    _start += length;
                    _streamPosition += length;
                    return ReceiveStatus.Message;
                }
            }

            ReceiveStatus status = hasPiece && StopsAtPieces ? ReceiveStatus.WouldBlock : Fill(wait);
            if (status != ReceiveStatus.Message)
            {
                message = status == ReceiveStatus.BadLength ? new Span<byte>(_buffer + _badHeader, _format.HeaderLength) : default;
                return status;
            }
        }
    }

    /// <summary>
    /// Looks at the next message and leaves it to <see cref="Receive"/>, for a thread that takes some kinds of messages only. Descriptors stay
    /// as they are.
    /// </summary>
    /// <param name="wait">Whether to wait for it, or for a piece of it.</param>
    /// <param name="message">The message; valid until the next call.</param>
    /// <returns>What the next <see cref="Receive"/> will find; <see cref="ReceiveStatus.BadLength"/> without the header.</returns>
    public ReceiveStatus Peek(bool wait, out ReadOnlySpan<byte> message)
    {
        for (bool hasPiece = false; ; hasPiece = true)
        {
            message = default;
            if (FrameAt(_start, out int length))
            {
                if (length < _format.HeaderLength || length > _format.MaximumLength)
                {
                    return ReceiveStatus.BadLength;
                }

                if (length <= _end - _start)
                {
                    // SAFETY: length was checked against what is in the buffer.
                    message = new ReadOnlySpan<byte>(_buffer + _start, length);
                    return ReceiveStatus.Message;
                }
            }

            ReceiveStatus status = hasPiece ? ReceiveStatus.WouldBlock : Fill(wait);
            if (status != ReceiveStatus.Message)
            {
                return status;
            }
        }
    }

    /// <summary>Lends one of the descriptors that came with the message that was given out last, until the next one is asked for.</summary>
    /// <param name="index">0 to <see cref="DescriptorCount"/> - 1.</param>
    /// <returns>The descriptor's number; the descriptor stays the receiver's. -1 when it was taken.</returns>
    public int DescriptorAt(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)_currentCount);
        return _current[index];
    }

    /// <summary>Takes one of the descriptors that came with the message that was given out last.</summary>
    /// <param name="index">0 to <see cref="DescriptorCount"/> - 1.</param>
    /// <returns>The descriptor, now the caller's.</returns>
    /// <exception cref="InvalidOperationException">It was taken before.</exception>
    public OwnedDescriptor TakeDescriptor(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _currentCount);
        int value = _current[index];
        if (value < 0)
        {
            throw new InvalidOperationException($"Descriptor {index} of this message was taken before.");
        }

        _current[index] = -1;
        return OwnedDescriptor.OfCounted(value, _ledger);
    }

    /// <summary>Closes every descriptor that nobody took and frees the buffer.</summary>
    public void Dispose()
    {
        CloseCurrent();
        ClosePending();
        if (_buffer != null)
        {
            NativeMemory.Free(_buffer);
            _buffer = null;
            _start = _end = 0;
            _ended = ReceiveStatus.Broken;
            _ledger?.Released(ResourceKind.NativeBlock);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool FrameAt(int at, out int length)
    {
        if (_end - at < _format.HeaderLength)
        {
            length = 0;
            return false;
        }

        // SAFETY: the header lies inside the buffer. A length beyond int becomes negative and is refused as too short.
        length = Unsafe.ReadUnaligned<int>(_buffer + at + _format.SizeOffset);
        return true;
    }

    private ReceiveStatus Fill(bool wait)
    {
        if (_ended == ReceiveStatus.Message)
        {
            ReceiveStatus status = Read(wait);
            if (status is ReceiveStatus.Message or ReceiveStatus.WouldBlock)
            {
                return status;
            }

            _ended = status;
            ClosePending();
        }

        return _ended;
    }

    private ReceiveStatus Read(bool wait)
    {
        MakeRoom();
        int readStart = _end;
        Errno errno = _socket.Receive(_buffer + _end, (nuint)Want(), _buffer + _control, _arrived, out int count, wait, out int received);
        if (count > 0 && (!Attach(count, readStart, received) || errno == Errno.EPROTO))
        {
            return ReceiveStatus.DescriptorsLost;
        }

        if (errno != Errno.None)
        {
            if (errno == Errno.EAGAIN)
            {
                return ReceiveStatus.WouldBlock;
            }

            if (errno == Errno.EPROTO)
            {
                return ReceiveStatus.DescriptorsLost;
            }

            Error = errno;
            return ReceiveStatus.Broken;
        }

        if (received == 0)
        {
            return _end == _start ? ReceiveStatus.End : ReceiveStatus.Broken;
        }

        _end += received;
        return ReceiveStatus.Message;
    }

    private void MakeRoom()
    {
        if (_start == _end)
        {
            _start = _end = 0;
        }
        else if (_capacity - _start < _format.MaximumLength)
        {
            Buffer.MemoryCopy(_buffer + _start, _buffer, _capacity, _end - _start);
            _end -= _start;
            _start = 0;
        }
    }

    private int Want()
    {
        if (!_exact)
        {
            return _capacity - _end;
        }

        int have = _end - _start;
        return FrameAt(_start, out int length) ? length - have : _format.HeaderLength - have;
    }

    private bool Attach(int count, int readStart, int received)
    {
        _end += received;
        int owner = -1;
        int at = _start;
        while (at < _end)
        {
            if (at >= readStart)
            {
                owner = at;
            }

            if (!FrameAt(at, out int length) || length < _format.HeaderLength || length > _format.MaximumLength)
            {
                break;
            }

            at += length;
        }

        _end -= received;
        if (owner < 0)
        {
            _exact = true;
            owner = _start;
        }

        long position = _streamPosition + (owner - _start);
        for (int i = 0; i < count; i++)
        {
            if (_pendingCount == PendingLimit)
            {
                for (; i < count; i++)
                {
                    _ = Native.close(_arrived[i]);
                }

                return false;
            }

            _ledger?.Acquired(ResourceKind.Descriptor);
            _pending[_pendingCount] = _arrived[i];
            _pendingOwner[_pendingCount++] = position;
        }

        return true;
    }

    private void AdoptPending()
    {
        int taken = 0;
        while (taken < _pendingCount && _pendingOwner[taken] <= _streamPosition)
        {
            _current[_currentCount++] = _pending[taken++];
        }

        if (taken > 0)
        {
            _pendingCount -= taken;
            if (_pendingCount != 0)
            {
                Array.Copy(_pending, taken, _pending, 0, _pendingCount);
                Array.Copy(_pendingOwner, taken, _pendingOwner, 0, _pendingCount);
            }
        }
    }

    private void CloseCurrent()
    {
        for (int i = 0; i < _currentCount; i++)
        {
            if (_current[i] >= 0)
            {
                Close(_current[i]);
            }
        }

        _currentCount = 0;
    }

    private void ClosePending()
    {
        for (int i = 0; i < _pendingCount; i++)
        {
            Close(_pending[i]);
        }

        _pendingCount = 0;
    }

    private void Close(int descriptor)
    {
        _ = Native.close(descriptor);
        _ledger?.Released(ResourceKind.Descriptor);
    }
}
