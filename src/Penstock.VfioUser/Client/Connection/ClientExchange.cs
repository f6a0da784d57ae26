using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>
/// One command that waits for its reply. Who moves the state away from waiting first decides whether the reply still touches the caller's
/// buffers; the caller stays until it is settled.
/// </summary>
internal sealed unsafe class ClientExchange(int index) : IDisposable
{
    private const int Idle = 0;
    private const int Waiting = 1;
    private const int Claimed = 2;
    private const int Settled = 3;

    private readonly ManualResetEventSlim _wake = new(false, 0);
    private VfioUserCommand _command;
    private byte* _head;
    private byte* _data;
    private int _headLength;
    private int _dataLength;
    private int _least;
    private int _wanted;
    private int _state;
    private int _parked;
    private ClientReply _reply;

    public int Index { get; } = index;

    public ushort Id { get; set; }

    /// <summary>Whether a reply can find it. With the table's lock.</summary>
    public bool IsPublished { get; set; }

    /// <summary>Whether its reply has come, in time or not. With the table's lock.</summary>
    public bool IsAnswered { get; set; }

    /// <summary>Whether its caller sleeps and could read the socket instead. With the table's lock for others.</summary>
    public bool IsParked => Volatile.Read(ref _parked) != 0;

    public bool IsSettled => Volatile.Read(ref _state) == Settled;

    /// <summary>Valid once it is settled.</summary>
    public Errno Result { get; private set; }

    public ref ClientReply Reply => ref _reply;

    /// <summary>Starts an exchange whose caller keeps the reply's buffers where they are.</summary>
    public void Begin(in ClientCall call, byte* head, byte* data)
    {
        _command = call.Command;
        _head = head;
        _headLength = call.ReplyHead.Length;
        _data = data;
        _dataLength = call.ReplyData.Length;
        _least = call.LeastReply;
        _wanted = call.WantedDescriptors;
        _reply = default;
        IsAnswered = false;
        _wake.Reset();
        Volatile.Write(ref _state, Waiting);
    }

    /// <summary>Gives up, unless the reply is being taken at this moment.</summary>
    public bool TrySettle(Errno result, string problem)
    {
        if (!TryClaim())
        {
            return false;
        }

        _reply.Problem = problem;
        Finish(result);
        return true;
    }

    /// <summary>Takes the decision away from the caller, who then stays until <see cref="Complete"/>.</summary>
    public bool TryClaim() => Interlocked.CompareExchange(ref _state, Claimed, Waiting) == Waiting;

    /// <summary>Takes the reply of an exchange that was claimed.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="body">What follows the header.</param>
    /// <param name="receiver">Has the descriptors that came.</param>
    public void Complete(in VfioUserHeader header, ReadOnlySpan<byte> body, FramedReceiver receiver)
    {
        Errno result;
        try
        {
            result = Take(header, body, receiver);
        }
        catch (Exception e)
        {
            // Only for want of memory.
            _reply.Problem = e.Message;
            result = Errno.ENOMEM;
        }

        Finish(result);
    }

    /// <summary>From now on it is woken. A full fence, as in Finish: one of both sees what the other has written.</summary>
    public void BeginPark() => Interlocked.Exchange(ref _parked, 1);

    /// <summary>Sleeps until settled, woken, or the time is up.</summary>
    public void Park(TimeSpan time)
    {
        if (!IsSettled)
        {
            _wake.Wait(time);
        }
    }

    public void EndPark()
    {
        Volatile.Write(ref _parked, 0);
        _wake.Reset();
    }

    public void Wake() => _wake.Set();

    public void Recycle()
    {
        _head = null;
        _data = null;
        _reply = default;
        IsPublished = false;
        Volatile.Write(ref _state, Idle);
    }

    public void Dispose() => _wake.Dispose();

    private void Finish(Errno result)
    {
        Result = result;
        Interlocked.Exchange(ref _state, Settled);
        if (IsParked)
        {
            _wake.Set();
        }
    }

    private Errno Take(in VfioUserHeader header, ReadOnlySpan<byte> body, FramedReceiver receiver)
    {
        if (header.Command != _command)
        {
            return Malformed($"the reply is for command {(ushort)header.Command}");
        }

        if ((header.Flags & VfioUserMessageFlags.Error) != 0)
        {
            // What such a reply carries besides means nothing.
            _reply.IsRefusal = true;
            return ErrorReply.ErrnoOf(header);
        }

        if (body.Length < _least)
        {
            return Malformed($"the reply has {body.Length} bytes, at least {_least} are needed");
        }

        if (body.Length > _headLength + _dataLength)
        {
            return Malformed($"the reply has {body.Length} bytes, at most {_headLength + _dataLength} were asked for");
        }

        // SAFETY: the waiting thread keeps both buffers in place until the exchange is settled, which happens after this copy.
        int head = Math.Min(body.Length, _headLength);
        body[..head].CopyTo(new Span<byte>(_head, _headLength));
        body[head..].CopyTo(new Span<byte>(_data, _dataLength));
        _reply.Length = body.Length;
        int descriptors = Math.Min(_wanted, receiver.DescriptorCount);
        if (descriptors != 0)
        {
            var taken = new OwnedDescriptor[descriptors];
            for (int i = 0; i < descriptors; i++)
            {
                taken[i] = receiver.TakeDescriptor(i);
            }

            _reply.Descriptors = taken;
        }

        return Errno.None;
    }

    private Errno Malformed(string problem)
    {
        _reply.Problem = problem;
        return Errno.EPROTO;
    }
}
