using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>Who reads, and what becomes of it.</content>
internal sealed partial class ClientConnection
{
    private int _leading;
    private int _followers;
    private long _stuckSince;

    private bool TryLead() => Interlocked.CompareExchange(ref _leading, 1, 0) == 0;

    /// <summary>What was read ahead is handed out first: nobody who waits on the socket would find it.</summary>
    private void StopLeading()
    {
        while (_failure is null && _main.Receiver.HasMessage && !_main.Sender.IsOverLimit && ReceiveOne(wait: false))
        {
        }

        Interlocked.Exchange(ref _leading, 0);
        WakeFollower();
        if (Volatile.Read(ref _pumpWaits))
        {
            _leaderGone.Set();
        }

        if (_main.Sender.HasBacklog)
        {
            Nudge();
        }
    }

    /// <summary>Sleeps while somebody else reads.</summary>
    private void Follow(ClientExchange exchange)
    {
        Interlocked.Increment(ref _followers);
        exchange.BeginPark();
        try
        {
            // A leader that left before woke nobody.
            if (Volatile.Read(ref _leading) == 0)
            {
                return;
            }

            if (_main.Sender.HasBacklog)
            {
                FlushWhenReady(PollEvents.Out);
            }
            else
            {
                exchange.Park(Tick);
            }
        }
        finally
        {
            exchange.EndPark();
            Interlocked.Decrement(ref _followers);
        }
    }

    private void WakeFollower()
    {
        if (Volatile.Read(ref _followers) == 0 || Volatile.Read(ref _leading) != 0)
        {
            return;
        }

        lock (_table)
        {
            foreach (ClientExchange exchange in _exchanges)
            {
                if (exchange.IsParked && !exchange.IsSettled)
                {
                    exchange.Wake();
                    return;
                }
            }
        }
    }

    /// <summary>Reads, or sends what is left, for a tick at most. For the leader.</summary>
    private void ReceiveSome()
    {
        if (!_main.Sender.HasBacklog)
        {
            ReceiveOne(wait: true);
            return;
        }

        // A server that does not read is not listened to either, or its commands would fill the memory here.
        if (_main.Sender.IsOverLimit)
        {
            FlushWhenReady(PollEvents.Out);
        }
        else if (_main.Receiver.HasMessage || (FlushWhenReady(PollEvents.Out | PollEvents.In) & ~PollEvents.Out) != 0)
        {
            ReceiveOne(wait: false);
        }
    }

    private PollEvents FlushWhenReady(PollEvents events)
    {
        PollEvents happened = Poll.Wait(_main.Socket.Descriptor, events, Tick);
        if ((happened & ~PollEvents.In) != 0)
        {
            Flush();
        }
        else
        {
            CheckStuck();
        }

        return happened;
    }

    private void Flush()
    {
        if (!_main.Sender.Gate.Enter(ReplyTime))
        {
            return;
        }

        Errno errno = _main.Sender.Flush();
        Volatile.Write(ref _stuckSince, 0);
        _main.Sender.Gate.Exit();
        if (errno != Errno.None)
        {
            Fail(Errno.ENOTCONN, $"the server ended the connection ({errno})");
        }
    }

    /// <summary>A message that is cut in the middle cannot be taken back: a server that reads no more is given up.</summary>
    private void CheckStuck()
    {
        long now = Stopwatch.GetTimestamp();
        long since = Interlocked.CompareExchange(ref _stuckSince, now, 0);
        if (since != 0 && Stopwatch.GetElapsedTime(since, now) > ReplyTime && _main.Sender.HasBacklog)
        {
            Fail(Errno.ETIMEDOUT, $"the server has read nothing for {ReplyTime.TotalSeconds} s");
        }
    }

    /// <summary>Waits until the server has read enough, and reads meanwhile what it sends.</summary>
    private Errno MakeRoom(long begun, bool untilEmpty)
    {
        while (untilEmpty ? _main.Sender.HasBacklog : _main.Sender.IsOverLimit)
        {
            if (_failure is not null)
            {
                return Errno.ENOTCONN;
            }

            if (Left(begun) <= TimeSpan.Zero)
            {
                return Errno.ETIMEDOUT;
            }

            if (TryLead())
            {
                try
                {
                    ReceiveSome();
                }
                finally
                {
                    StopLeading();
                }
            }
            else
            {
                FlushWhenReady(PollEvents.Out);
            }
        }

        // Without anything kept the socket itself may be full: the next attempt finds out.
        return untilEmpty && (Poll.Wait(_main.Socket.Descriptor, PollEvents.Out, Tick) & PollEvents.Out) == 0 && Left(begun) <= TimeSpan.Zero
            ? Errno.ETIMEDOUT
            : Errno.None;
    }

    /// <summary>Takes one message, or finds that there is none. For the leader.</summary>
    /// <returns>Whether there was one.</returns>
    private bool ReceiveOne(bool wait)
    {
        ReceiveStatus status = _main.Receiver.Receive(wait, out Span<byte> message);
        switch (status)
        {
            case ReceiveStatus.Message:
                Dispatch(message);
                return true;
            case ReceiveStatus.WouldBlock:
                return false;
            case ReceiveStatus.End:
                Fail(Errno.ENOTCONN, "the server closed the connection");
                return false;
            case ReceiveStatus.BadLength:
                Fail(Errno.EPROTO, $"the server sent a message of {MemoryMarshal.Read<VfioUserHeader>(message).Size} bytes; 16 to {VfioUserLimits.MaximumMessage} are possible");
                return false;
            case ReceiveStatus.DescriptorsLost:
                Fail(Errno.EPROTO, "descriptors were lost on the way (too many, or this process has none left)");
                return false;
            default:
                Fail(Errno.ENOTCONN, _main.Receiver.Error == Errno.None
                    ? "the server closed the connection inside a message"
                    : $"the connection broke: {_main.Receiver.Error}");
                return false;
        }
    }

    private void Dispatch(ReadOnlySpan<byte> message)
    {
        VfioUserHeader header = Unsafe.ReadUnaligned<VfioUserHeader>(ref MemoryMarshal.GetReference(message));
        ReadOnlySpan<byte> body = message[VfioUserHeader.Length..];
        switch (header.Flags & VfioUserMessageFlags.TypeMask)
        {
            case VfioUserMessageFlags.Reply:
                TakeReply(header, body);
                break;
            case VfioUserMessageFlags.Command:
                ServeOnMainSocket();
                _dma.Serve(_main, header, body);
                break;
            default:
                Fail(Errno.EPROTO, $"the server sent a message that is neither command nor reply (flags 0x{(uint)header.Flags:x})");
                break;
        }
    }

    private void TakeReply(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        ClientExchange exchange = _exchanges[header.Id & (MostCalls - 1)];
        bool isWaitedFor;
        bool claimed = false;
        lock (_table)
        {
            isWaitedFor = exchange.IsPublished && exchange.Id == header.Id && !exchange.IsAnswered;
            if (isWaitedFor)
            {
                // Here, since outside the lock the exchange may already serve somebody else.
                exchange.IsAnswered = true;
                claimed = exchange.TryClaim();
            }
            else if (IsAbandoned(header.Id))
            {
                // Too late.
                _abandoned[header.Id / BitsOfWord] &= ~(1ul << (header.Id % BitsOfWord));
                _abandonedCount--;
                _timeouts = Math.Max(0, _timeouts - 1);
                isWaitedFor = true;
            }
        }

        if (claimed)
        {
            exchange.Complete(header, body, _main.Receiver);
        }
        else if (!isWaitedFor)
        {
            Fail(Errno.EPROTO, $"the server sent a reply that nothing waits for (id {header.Id}, command {(ushort)header.Command})");
        }
    }
}
