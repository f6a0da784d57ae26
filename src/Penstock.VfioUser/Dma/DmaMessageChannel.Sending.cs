using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>The way out: one message at a time, and what to do when the peer does not read.</content>
internal sealed partial class DmaMessageChannel
{
    private static readonly TimeSpan StoppedPoll = TimeSpan.FromMilliseconds(2);

    /// <summary>Called when the peer has read nothing for too long: the stream then ends inside a message and is of no use.</summary>
    public Action? PeerStoppedReading { get; set; }

    /// <summary>Whether the device is stopped for migration: then nothing may go out, and what would waits.</summary>
    public Func<bool> IsDeviceStopped { get; set; } = static () => false;

    private Errno WaitWhileStopped(DmaTransfer transfer)
    {
        while (true)
        {
            Errno errno = MayGoOut(transfer);
            if (errno != Errno.EAGAIN)
            {
                return errno;
            }

            Thread.Sleep(StoppedPoll);
        }
    }

    private async ValueTask<Errno> WaitWhileStoppedAsync(DmaTransfer transfer, CancellationToken cancellation)
    {
        while (true)
        {
            Errno errno = cancellation.IsCancellationRequested ? Errno.ECANCELED : MayGoOut(transfer);
            if (errno != Errno.EAGAIN)
            {
                return errno;
            }

            await Task.Delay(StoppedPoll, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>EAGAIN: not now; another error: never.</summary>
    private Errno MayGoOut(DmaTransfer transfer) =>
        _closed ? Errno.ENOTCONN : transfer.IsCanceled ? Errno.ECANCELED : IsDeviceStopped() ? Errno.EAGAIN : Errno.None;

    private Errno Send(DmaExchange exchange, ReadOnlySpan<byte> data, DmaTransfer transfer)
    {
        Errno errno;
        do
        {
            errno = WaitWhileStopped(transfer);
            if (errno != Errno.None)
            {
                return errno;
            }

            if (!_sender.Gate.Enter(_replyTime))
            {
                return Errno.ETIMEDOUT;
            }

            errno = EnterChecked(transfer);
        }
        while (errno == Errno.EAGAIN);

        errno = errno == Errno.None ? SendAndExit(exchange, data) : errno;
        return errno == Errno.None ? DrainBacklog() : errno;
    }

    private async ValueTask<Errno> SendAsync(DmaExchange exchange, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation)
    {
        Errno errno;
        do
        {
            errno = await WaitWhileStoppedAsync(transfer, cancellation).ConfigureAwait(false);
            if (errno != Errno.None)
            {
                return errno;
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

            errno = EnterChecked(transfer);
        }
        while (errno == Errno.EAGAIN);

        errno = errno == Errno.None ? SendAndExit(exchange, source) : errno;
        if (errno == Errno.None && _sender.HasBacklog)
        {
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
            errno = DrainBacklog();
        }

        return errno;
    }

    /// <summary>
    /// Looks once more, behind the gate, through which the replies that say "stopped" or "reset" go too. Unless the message may go out the gate
    /// is free again.
    /// </summary>
    private Errno EnterChecked(DmaTransfer transfer)
    {
        Errno errno = MayGoOut(transfer);
        if (errno != Errno.None)
        {
            _sender.Gate.Exit();
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
            Publish(exchange);
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
