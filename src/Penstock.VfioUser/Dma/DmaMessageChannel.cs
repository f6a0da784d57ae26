using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// Reaches the client's memory with DMA_READ and DMA_WRITE, beside the client's own commands: replies are told apart by type and id.
/// Nothing is sent while a register access waits for its reply, since a real QEMU would not answer.
/// </summary>
internal sealed partial class DmaMessageChannel : IDmaMessageChannel, IDisposable
{
    /// <summary>
    /// Data bytes in one message. A QEMU that answers a longer DMA_READ than its socket buffer holds stalls for good, so stay well below that.
    /// </summary>
    internal const int ChunkLimit = 128 * 1024;

    /// <summary>How many messages may be in flight.</summary>
    private const int Exchanges = 32;

    private readonly MessageSender _sender;
    private readonly UnixSocket _socket;
    private readonly IMessageObserver? _observer;
    private readonly Stack<DmaExchange> _free = new(Exchanges);
    private readonly Dictionary<ushort, DmaExchange> _inFlight = new(Exchanges);
    private readonly SemaphoreSlim _available = new(Exchanges);
    private readonly ReplyRoom _room = new();
    private readonly Lock _table = new();
    private readonly byte[] _message = new byte[ChunkLimit + VfioUserHeader.Length + VfioUserDmaAccess.Length];
    private ushort _nextId;
    private readonly TimeSpan _replyTime;
    private volatile bool _closed;

    public DmaMessageChannel(UnixSocket socket, FramedReceiver receiver, MessageSender sender, IMessageObserver? observer, TimeSpan replyTime)
    {
        _replyTime = replyTime;
        _receiver = receiver;
        _endOffer = _turn.EndOffer;
        _socket = socket;
        _sender = sender;
        _observer = observer;
        for (int i = 0; i < Exchanges; i++)
        {
            _free.Push(new DmaExchange());
        }
    }

    /// <summary>Data bytes that the client accepts in one message.</summary>
    public int PeerLimit { get; set; } = VfioUserLimits.DefaultMaximumTransfer;

    /// <summary>The thread that receives, on which waiting for a reply would never end; 0 before it runs.</summary>
    public int ReceivingThread { get; set; }

    private int Chunk => Math.Min(ChunkLimit, PeerLimit);

    public unsafe Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer)
    {
        // SAFETY: the span stays pinned until every exchange that knows its address is settled.
        fixed (byte* start = destination)
        {
            return RunChunks(VfioUserCommand.DmaRead, iova, start, destination.Length, transfer);
        }
    }

    public unsafe Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer)
    {
        // SAFETY: as above; the bytes are only read.
        fixed (byte* start = source)
        {
            return RunChunks(VfioUserCommand.DmaWrite, iova, start, source.Length, transfer);
        }
    }

    public async ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation)
    {
        for (int done = 0; done < destination.Length;)
        {
            Memory<byte> part = destination.Slice(done, Math.Min(Chunk, destination.Length - done));
            Errno errno = await RunAsync(VfioUserCommand.DmaRead, iova + (ulong)done, part, default, transfer, cancellation).ConfigureAwait(false);
            if (errno != Errno.None)
            {
                return errno;
            }

            done += part.Length;
        }

        return Errno.None;
    }

    public async ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation)
    {
        for (int done = 0; done < source.Length;)
        {
            ReadOnlyMemory<byte> part = source.Slice(done, Math.Min(Chunk, source.Length - done));
            Errno errno = await RunAsync(VfioUserCommand.DmaWrite, iova + (ulong)done, default, part, transfer, cancellation).ConfigureAwait(false);
            if (errno != Errno.None)
            {
                return errno;
            }

            done += part.Length;
        }

        return Errno.None;
    }

    /// <summary>Finds who waits for a reply.</summary>
    /// <param name="header">The reply's header.</param>
    /// <param name="exchange">What waits, for the caller to complete; null when it has given up.</param>
    /// <returns>Whether somebody waits, or did.</returns>
    private bool TryClaim(in VfioUserHeader header, out DmaExchange? exchange)
    {
        lock (_table)
        {
            if (!_inFlight.TryGetValue(header.Id, out exchange))
            {
                return false;
            }

            // Here, since outside the lock the exchange may already serve somebody else.
            exchange = exchange.TryClaim() ? exchange : null;
            return true;
        }
    }

    /// <summary>Fails everything that waits, and everything later, with ENOTCONN.</summary>
    public void Close()
    {
        lock (_table)
        {
            _closed = true;
            foreach (DmaExchange exchange in _inFlight.Values)
            {
                exchange.TrySettle(Errno.ENOTCONN);
            }
        }

        _strand?.UnwatchIdle(_endOffer);
    }

    public void Dispose()
    {
        Close();

        // Whoever still holds an exchange was woken just now and gives it back; only then may the socket go.
        for (int i = 0; i < Exchanges; i++)
        {
            _available.Wait();
        }

        _room.Dispose();
    }

    private unsafe Errno RunChunks(VfioUserCommand command, ulong iova, byte* start, int length, DmaTransfer transfer)
    {
        if (Environment.CurrentManagedThreadId == ReceivingThread)
        {
            return Errno.EDEADLK;
        }

        for (int done = 0; done < length;)
        {
            int count = Math.Min(Chunk, length - done);
            Errno errno = RunChunk(command, iova + (ulong)done, start + done, count, transfer);
            if (errno != Errno.None)
            {
                return errno;
            }

            done += count;
        }

        return Errno.None;
    }

    private unsafe Errno RunChunk(VfioUserCommand command, ulong iova, byte* start, int count, DmaTransfer transfer)
    {
        bool worker = IsOnWorker(transfer);
        Errno errno = WaitWhileStopped(transfer);
        if (errno != Errno.None)
        {
            return errno;
        }

        while (!_available.Wait(_replyTime))
        {
            // The time runs for the peer, and it has nothing to answer while the device is stopped.
            errno = MayGoOut(transfer);
            if (errno != Errno.EAGAIN)
            {
                return errno == Errno.None ? Errno.ETIMEDOUT : errno;
            }
        }

        while (!_room.Take(ReplyBytes(command, count), _replyTime))
        {
            errno = MayGoOut(transfer);
            if (errno != Errno.EAGAIN)
            {
                _available.Release();
                return errno == Errno.None ? Errno.ETIMEDOUT : errno;
            }
        }

        DmaExchange exchange = Rent();
        exchange.Begin(command, iova, count, start);
        exchange.IsForWorker = worker;

        // SAFETY: count bytes from start belong to the caller, which waits here.
        errno = Send(exchange, command == VfioUserCommand.DmaWrite ? new ReadOnlySpan<byte>(start, count) : default, transfer);
        if (errno != Errno.None)
        {
            exchange.TrySettle(errno);
        }
        else if (exchange.IsForWorker)
        {
            ReadReplies(exchange);
        }

        if (!exchange.Wait(_replyTime) && !exchange.TrySettle(Errno.ETIMEDOUT))
        {
            exchange.Wait(Timeout.InfiniteTimeSpan);
        }

        Errno result = exchange.Result;
        Return(exchange);
        return result;
    }

    private async ValueTask<Errno> RunAsync(
        VfioUserCommand command,
        ulong iova,
        Memory<byte> destination,
        ReadOnlyMemory<byte> source,
        DmaTransfer transfer,
        CancellationToken cancellation)
    {
        Errno errno = await WaitWhileStoppedAsync(transfer, cancellation).ConfigureAwait(false);
        if (errno != Errno.None)
        {
            return errno;
        }

        while (!await WaitForExchange(cancellation).ConfigureAwait(false))
        {
            errno = cancellation.IsCancellationRequested ? Errno.ECANCELED : MayGoOut(transfer);
            if (errno != Errno.EAGAIN)
            {
                return errno == Errno.None ? Errno.ETIMEDOUT : errno;
            }
        }

        while (!await WaitForRoom(ReplyBytes(command, destination.Length), cancellation).ConfigureAwait(false))
        {
            errno = cancellation.IsCancellationRequested ? Errno.ECANCELED : MayGoOut(transfer);
            if (errno != Errno.EAGAIN)
            {
                _available.Release();
                return errno == Errno.None ? Errno.ETIMEDOUT : errno;
            }
        }

        DmaExchange exchange = Rent();
        try
        {
            Task<Errno> task = exchange.BeginAsync(command, iova, Math.Max(destination.Length, source.Length), destination);
            errno = await SendAsync(exchange, source, transfer, cancellation).ConfigureAwait(false);
            if (errno != Errno.None)
            {
                exchange.TrySettle(errno);
            }

            try
            {
                await task.WaitAsync(_replyTime, cancellation).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                exchange.TrySettle(Errno.ETIMEDOUT);
            }
            catch (OperationCanceledException)
            {
                exchange.TrySettle(Errno.ECANCELED);
            }

            return await task.ConfigureAwait(false);
        }
        finally
        {
            // Only for an exchange that failed before it was waited for: its caller's memory threw.
            if (!exchange.TrySettle(Errno.EFAULT))
            {
                exchange.Wait(Timeout.InfiniteTimeSpan);
            }

            Return(exchange);
        }
    }

    private async ValueTask<bool> WaitForExchange(CancellationToken cancellation)
    {
        try
        {
            return await _available.WaitAsync(_replyTime, cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private async ValueTask<bool> WaitForRoom(int bytes, CancellationToken cancellation)
    {
        try
        {
            return await _room.TakeAsync(bytes, _replyTime, cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>The data in the reply.</summary>
    private static int ReplyBytes(VfioUserCommand command, int count) => command == VfioUserCommand.DmaRead ? count : 0;

    private DmaExchange Rent()
    {
        lock (_table)
        {
            return _free.Pop();
        }
    }

    /// <summary>
    /// Lets a reply find the exchange. With the gate held, just before the message goes out: what was not sent cannot be answered.
    /// </summary>
    private void Publish(DmaExchange exchange)
    {
        lock (_table)
        {
            do
            {
                exchange.Id = _nextId++;
            }
            while (!_inFlight.TryAdd(exchange.Id, exchange));
            exchange.IsPublished = true;
            if (_closed)
            {
                exchange.TrySettle(Errno.ENOTCONN);
            }
        }

        if (!exchange.IsForWorker)
        {
            // Nobody else would read its reply.
            _turn.EndOffer();
        }
    }

    private void Return(DmaExchange exchange)
    {
        _room.Give(ReplyBytes(exchange.Command, exchange.Count));
        lock (_table)
        {
            if (exchange.IsPublished)
            {
                _inFlight.Remove(exchange.Id);
            }

            exchange.Recycle();
            _free.Push(exchange);
        }

        _available.Release();
    }
}
