using System.Diagnostics;
using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>Commands: out, and back.</content>
internal sealed partial class ClientConnection
{
    private const string TimeUp = "no reply in time";

    /// <summary>
    /// Sends a command and waits for its reply. Allocates nothing unless the reply brings descriptors, or something is wrong. May be called from
    /// any thread, but not from a handler of <see cref="Lost"/>.
    /// </summary>
    /// <param name="call">The command.</param>
    /// <param name="reply">What came.</param>
    /// <returns>
    /// None; the server's error; ETIMEDOUT; ECANCELED; EPROTO: the reply is not what was asked for; ENOTCONN: the connection has ended; the
    /// error of a descriptor that cannot be passed.
    /// </returns>
    public unsafe Errno Run(in ClientCall call, out ClientReply reply)
    {
        reply = default;
        if (call.Head.Length + call.Data.Length > VfioUserLimits.MaximumMessage - VfioUserHeader.Length)
        {
            reply.Problem = "it is longer than a message";
            return Errno.EMSGSIZE;
        }

        if (!TryEnter())
        {
            reply.Problem = _failure;
            return Errno.ENOTCONN;
        }

        try
        {
            long begun = Stopwatch.GetTimestamp();
            if (Rent(begun) is not { } exchange)
            {
                reply.Problem = "too many commands wait";
                return Errno.ETIMEDOUT;
            }

            // SAFETY: the buffers stay pinned until the exchange is settled, which Await waits for.
            fixed (byte* head = call.ReplyHead)
            fixed (byte* data = call.ReplyData)
            {
                exchange.Begin(call, head, data);
                bool sent = Send(exchange, call, begun);
                Await(exchange, begun, call.Cancellation);
                Errno result = exchange.Result;
                reply = exchange.Reply;
                Return(exchange, sent);
                if (result != Errno.None && call.IsVital && sent && !reply.IsRefusal)
                {
                    Fail(Errno.ENOTCONN, $"{call.Command} got no sound reply: {reply.Problem}");
                }

                return result;
            }
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Sends a command that wants no reply.</summary>
    /// <param name="command">The command.</param>
    /// <param name="head">Its structure.</param>
    /// <param name="data">What follows.</param>
    /// <returns>None: it is on its way; ENOTCONN; ETIMEDOUT: the server reads nothing.</returns>
    public Errno Post(VfioUserCommand command, ReadOnlySpan<byte> head, ReadOnlySpan<byte> data)
    {
        if (!TryEnter())
        {
            return Errno.ENOTCONN;
        }

        try
        {
            long begun = Stopwatch.GetTimestamp();
            Errno errno = EnterGate(begun, needsEmpty: false);
            if (errno != Errno.None)
            {
                return errno;
            }

            errno = _failure is null ? SendAndExit(command, PostedId, VfioUserMessageFlags.NoReply, head, data, default) : ExitWith(Errno.ENOTCONN);
            return errno == Errno.None && _main.Sender.HasBacklog ? MakeRoom(begun, untilEmpty: true) : errno;
        }
        finally
        {
            Leave();
        }
    }

    /// <returns>Whether it has gone out; if not, the exchange is settled.</returns>
    private bool Send(ClientExchange exchange, in ClientCall call, long begun)
    {
        Errno errno;
        do
        {
            errno = EnterGate(begun, needsEmpty: !call.Descriptors.IsEmpty);
            if (errno == Errno.None)
            {
                if (!TryPublish(exchange))
                {
                    ExitWith(Errno.ENOTCONN);
                    return false;
                }

                errno = SendAndExit(call.Command, exchange.Id, VfioUserMessageFlags.Command, call.Head, call.Data, call.Descriptors);
                if (errno == Errno.EAGAIN)
                {
                    errno = MakeRoom(begun, untilEmpty: true);
                    errno = errno == Errno.None ? Errno.EAGAIN : errno;
                }
            }
        }
        while (errno == Errno.EAGAIN);

        if (errno != Errno.None)
        {
            exchange.TrySettle(errno, errno == Errno.ETIMEDOUT ? "the server reads nothing" : "it cannot be sent");
        }

        return errno == Errno.None;
    }

    /// <summary>Enters the gate with as much room behind it as is needed.</summary>
    private Errno EnterGate(long begun, bool needsEmpty)
    {
        while (true)
        {
            if (!_main.Sender.Gate.Enter(ReplyTime))
            {
                return Errno.ETIMEDOUT;
            }

            if (!(needsEmpty ? _main.Sender.HasBacklog : _main.Sender.IsOverLimit))
            {
                return Errno.None;
            }

            _main.Sender.Gate.Exit();
            Errno errno = MakeRoom(begun, needsEmpty);
            if (errno != Errno.None)
            {
                return errno;
            }
        }
    }

    private Errno ExitWith(Errno errno)
    {
        _main.Sender.Gate.Exit();
        return errno;
    }

    /// <summary>Builds and sends a message. The gate is held, and free afterwards.</summary>
    /// <returns>EAGAIN only with descriptors: nothing was sent.</returns>
    private Errno SendAndExit(
        VfioUserCommand command, ushort id, VfioUserMessageFlags flags, ReadOnlySpan<byte> head, ReadOnlySpan<byte> data, ReadOnlySpan<int> descriptors)
    {
        int length = VfioUserHeader.Length + head.Length + data.Length;
        Span<byte> message = _message.AsSpan(0, length);
        Unsafe.WriteUnaligned(ref message[0], new VfioUserHeader { Id = id, Command = command, Size = (uint)length, Flags = flags });
        head.CopyTo(message[VfioUserHeader.Length..]);
        data.CopyTo(message[(VfioUserHeader.Length + head.Length)..]);
        Errno errno;
        try
        {
            errno = descriptors.IsEmpty ? _main.Sender.Send(message) : SendWithDescriptors(message, descriptors);
        }
        finally
        {
            _main.Sender.Gate.Exit();
        }

        if (errno is Errno.None or Errno.EAGAIN or Errno.EBADF or Errno.ETOOMANYREFS)
        {
            return errno;
        }

        Fail(Errno.ENOTCONN, $"the server ended the connection ({errno})");
        return Errno.ENOTCONN;
    }

    private Errno SendWithDescriptors(ReadOnlySpan<byte> message, ReadOnlySpan<int> descriptors)
    {
        // They ride on the first byte; the rest is as any other message.
        Errno errno = _main.Socket.TrySend(message, descriptors, out int sent);
        return errno == Errno.None && sent < message.Length ? _main.Sender.Send(message[sent..]) : errno;
    }

    /// <summary>Waits until an exchange is settled: by its reply, its time, or the end of the connection.</summary>
    private void Await(ClientExchange exchange, long begun, CancellationToken cancellation)
    {
        while (!exchange.IsSettled)
        {
            if (TryLead())
            {
                try
                {
                    do
                    {
                        ReceiveSome();
                    }
                    while (!exchange.IsSettled && !IsOver(exchange, begun, cancellation));
                }
                finally
                {
                    StopLeading();
                }
            }
            else
            {
                Follow(exchange);
                IsOver(exchange, begun, cancellation);
            }
        }

        // Whoever was to read next may have been this one.
        WakeFollower();
    }

    private bool IsOver(ClientExchange exchange, long begun, CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
        {
            return exchange.TrySettle(Errno.ECANCELED, "it was cancelled");
        }

        return Left(begun) <= TimeSpan.Zero && exchange.TrySettle(Errno.ETIMEDOUT, TimeUp);
    }
}
