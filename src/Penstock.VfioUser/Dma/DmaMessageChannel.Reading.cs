using System.Diagnostics;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>
/// The way in. Posted work that waits for a reply reads the connection itself while the session's thread sleeps: one send and one receive for an
/// exchange, and no change of threads. It takes replies only; when anything else arrives the session's thread has its turn again.
/// </content>
internal sealed partial class DmaMessageChannel
{
    // How often a thread that waits for a reply looks at the clock: a part of the peer's time, and at least this.
    private const int LooksInReplyTime = 8;
    private static readonly TimeSpan ShortestLook = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(1);

    private readonly FramedReceiver _receiver;
    private readonly ReadingTurn _turn = new();
    private readonly Action _endOffer;
    private volatile Strand? _strand;
    private bool _offered;
    private bool _wasOfUse;

    /// <summary>Told of replies that nothing waits for.</summary>
    public Action<VfioUserHeader>? StrayReply { get; set; }

    /// <summary>Whether the receiving thread has offered its turn, so that it must call <see cref="AwaitTurn"/> before it reads on.</summary>
    public bool IsTurnOffered => _offered;

    private bool WorkIsRunning => _strand is { IsWorking: true };

    /// <summary>
    /// An access is over, and work that it has posted may start. If such work used messages before, it is going to be the one that reads. For the
    /// receiving thread.
    /// </summary>
    public void AccessEnded()
    {
        if (_wasOfUse && WorkIsRunning && !_receiver.HasMessage && !_sender.HasBacklog)
        {
            // Who was faster than this and waits already, waits for this thread.
            _turn.Offer();
            _offered = (WorkIsRunning && InFlight == 0) || !_turn.Withdraw();
        }
    }

    /// <summary>Sleeps until nobody else has a use for the turn. For the receiving thread.</summary>
    public void AwaitTurn()
    {
        _offered = false;
        _wasOfUse = _turn.WaitUntilBack();
    }

    /// <summary>Hands a reply to whoever waits for it. For the receiving thread.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="body">What follows the header.</param>
    public void TakeReply(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        if (!TryClaim(header, out DmaExchange? exchange))
        {
            StrayReply?.Invoke(header);
        }
        else if (exchange is not null)
        {
            // Before the work wakes up and looks for the turn.
            if (exchange.IsForWorker && !_receiver.HasMessage && !_sender.HasBacklog)
            {
                _turn.Offer();
                _offered = InFlight == 1 || !_turn.Withdraw();
            }

            exchange.Complete(header, body);
        }
    }

    private bool IsOnWorker(DmaTransfer transfer)
    {
        Strand? strand = transfer.Strand;
        if (strand is null || !strand.IsWorker)
        {
            return false;
        }

        if (!ReferenceEquals(_strand, strand))
        {
            _socket.SetReceiveTimeout(Clamp(_replyTime / LooksInReplyTime));
            _strand = strand;
            strand.WatchIdle(_endOffer);
        }

        return true;
    }

    private static TimeSpan Clamp(TimeSpan look) => look < ShortestLook ? ShortestLook : look > LongestLook ? LongestLook : look;

    /// <summary>Reads until an exchange is settled, if it is offered to.</summary>
    private void ReadReplies(DmaExchange exchange)
    {
        if (!_turn.TryTake())
        {
            return;
        }

        bool keep = false;
        try
        {
            keep = ReadUntilSettled(exchange) && !_receiver.HasMessage;
        }
        finally
        {
            if (!keep)
            {
                _turn.Return();
            }
        }

        if (keep)
        {
            _turn.PutBack();
            if (InFlight > 1)
            {
                _turn.EndOffer();
            }
        }
    }

    /// <summary>Messages without a reply. Who sends one is counted before it looks for the turn.</summary>
    private int InFlight
    {
        get
        {
            lock (_table)
            {
                return _inFlight.Count;
            }
        }
    }

    /// <returns>False when something has come that is for the session's thread, or nothing in the peer's time.</returns>
    private bool ReadUntilSettled(DmaExchange exchange)
    {
        long start = 0;
        while (!exchange.IsSettled)
        {
            ReceiveStatus status = _receiver.Peek(wait: true, out ReadOnlySpan<byte> message);
            if (status == ReceiveStatus.Message && TakeIfReply(message))
            {
                if (exchange.IsSettled)
                {
                    return true;
                }
            }
            else if (status != ReceiveStatus.WouldBlock)
            {
                return false;
            }

            // The first look comes late by as much as the first wait took; the peer may have that.
            start = start == 0 ? Stopwatch.GetTimestamp() : start;
            if (Stopwatch.GetElapsedTime(start) >= _replyTime)
            {
                exchange.TrySettle(Errno.ETIMEDOUT);
                return false;
            }
        }

        return true;
    }

    private bool TakeIfReply(ReadOnlySpan<byte> message)
    {
        VfioUserHeader header = MemoryMarshal.Read<VfioUserHeader>(message);
        if ((header.Flags & VfioUserMessageFlags.TypeMask) != VfioUserMessageFlags.Reply)
        {
            return false;
        }

        _receiver.Receive(wait: false, out Span<byte> taken);
        _observer?.OnMessage(true, taken, _receiver.DescriptorCount);
        if (!TryClaim(header, out DmaExchange? exchange))
        {
            StrayReply?.Invoke(header);
        }

        exchange?.Complete(header, taken[VfioUserHeader.Length..]);

        return true;
    }
}
