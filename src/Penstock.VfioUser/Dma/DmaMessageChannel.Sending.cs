using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>The way out: one message at a time, and what to do when the peer does not read.</content>
internal sealed partial class DmaMessageChannel
{
    private static readonly TimeSpan s_stoppedPoll = TimeSpan.FromMilliseconds(2);

    /// <summary>Called when the peer has read nothing for too long: the stream then ends inside a message and is of no use.</summary>
    public Action? PeerStoppedReading { get; set; }

    /// <summary>Whether the device is stopped for migration: then nothing may go out, and what would waits.</summary>
    public Func<bool> IsDeviceStopped { get; set; } = static () => false;

    private Errno Send(DmaExchange exchange, ReadOnlySpan<byte> data)
    {
        while (true)
        {
            if (!_sender.Gate.Enter(_replyTime))
            {
                return Errno.ETIMEDOUT;
            }

            // Looked at behind the gate, through which the reply that says "stopped" goes too.
            if (!IsDeviceStopped())
            {
                break;
            }

            _sender.Gate.Exit();
            if (_closed)
            {
                return Errno.ENOTCONN;
            }

            Thread.Sleep(s_stoppedPoll);
        }

        Errno errno = SendAndExit(exchange, data);
        return errno == Errno.None ? DrainBacklog() : errno;
    }

    private async ValueTask<Errno> SendAsync(DmaExchange exchange, ReadOnlyMemory<byte> source)
    {
        while (IsDeviceStopped() && !_closed)
        {
            await Task.Delay(s_stoppedPoll).ConfigureAwait(false);
        }

        if (!_sender.Gate.TryEnter())
        {
            // The access that holds the gate may be this very call, or wait for the strand that the caller is on: never wait here.
            // Nor for ever: a model that blocks its register access on this transfer gets an error instead of its reply.
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
            if (!_sender.Gate.Enter(_replyTime))
            {
                return Errno.ETIMEDOUT;
            }
        }

        if (IsDeviceStopped())
        {
            _sender.Gate.Exit();
            return _closed ? Errno.ENOTCONN : await SendAsync(exchange, source).ConfigureAwait(false);
        }

        Errno errno = SendAndExit(exchange, source);
        if (errno == Errno.None && _sender.HasBacklog)
        {
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
            errno = DrainBacklog();
        }

        return errno;
    }

    private Errno SendAndExit(DmaExchange exchange, ReadOnlyMemory<byte> source)
    {
        ReadOnlySpan<byte> data;
        try
        {
            data = source.Span;
        }
        catch
        {
            _sender.Gate.Exit();
            throw;
        }

        return SendAndExit(exchange, data);
    }

    /// <summary>Sends the message of an exchange. The caller holds the gate, which is free afterwards.</summary>
    private Errno SendAndExit(DmaExchange exchange, ReadOnlySpan<byte> data)
    {
        try
        {
            int length = VfioUserHeader.Length + VfioUserDmaAccess.Length + data.Length;
            Span<byte> message = _message.AsSpan(0, length);
            MemoryMarshal.Write(message, new VfioUserHeader { Id = exchange.Id, Command = exchange.Command, Size = (uint)length });
            MemoryMarshal.Write(message[VfioUserHeader.Length..], new VfioUserDmaAccess { Iova = exchange.Iova, Count = (ulong)exchange.Count });
            data.CopyTo(message[(VfioUserHeader.Length + VfioUserDmaAccess.Length)..]);
            _observer?.OnMessage(false, message, 0);
            return Gone(_sender.Send(message));
        }
        finally
        {
            _sender.Gate.Exit();
        }
    }

    /// <summary>However the kernel says that the peer has gone, a device sees one error.</summary>
    private static Errno Gone(Errno errno) => errno is Errno.EPIPE or Errno.ECONNRESET ? Errno.ENOTCONN : errno;

    /// <summary>
    /// The receiving thread may be asleep in a receive and would not notice that there is something left to send, so whoever left it sees it off.
    /// </summary>
    private Errno DrainBacklog()
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        while (_sender.HasBacklog)
        {
            TimeSpan left = _replyTime - System.Diagnostics.Stopwatch.GetElapsedTime(start);
            if (left <= TimeSpan.Zero || Poll.Wait(_socket.Descriptor, PollEvents.Out, left) == PollEvents.None)
            {
                PeerStoppedReading?.Invoke();
                return Errno.ETIMEDOUT;
            }

            _sender.Gate.Enter();
            Errno errno = Gone(_sender.Flush());
            _sender.Gate.Exit();
            if (errno != Errno.None)
            {
                return errno;
            }
        }

        return Errno.None;
    }
}
