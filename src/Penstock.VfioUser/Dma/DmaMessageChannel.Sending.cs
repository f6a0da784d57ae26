using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>The way out: one message at a time, and what to do when the peer does not read.</content>
internal sealed partial class DmaMessageChannel
{
    /// <summary>Called when the peer has read nothing for too long: the stream then ends inside a message and is of no use.</summary>
    public Action? PeerStoppedReading { get; set; }

    private Errno Send(DmaExchange exchange, ReadOnlySpan<byte> data)
    {
        _sender.Gate.Enter();
        Errno errno = SendAndExit(exchange, data);
        return errno == Errno.None ? DrainBacklog() : errno;
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
        while (_sender.HasBacklog)
        {
            if (Poll.Wait(_socket.Descriptor, PollEvents.Out, _replyTime) == PollEvents.None)
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
