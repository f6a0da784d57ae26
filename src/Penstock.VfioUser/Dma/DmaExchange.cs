using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>
/// One DMA_READ or DMA_WRITE that waits for its reply. The waiting side may give up at any moment; who moves the state away from
/// <see cref="Waiting"/> first decides whether the reply still touches the waiting side's buffer.
/// </summary>
internal sealed unsafe class DmaExchange
{
    private const int Idle = 0;
    private const int Waiting = 1;
    private const int Settled = 2;

    private readonly object _gate = new();
    private volatile bool _done;
    private TaskCompletionSource<Errno>? _promise;
    private byte* _target;
    private Memory<byte> _memory;
    private Errno _result;
    private int _state;

    public ushort Id { get; set; }

    /// <summary>Whether a reply can find it.</summary>
    public bool IsPublished { get; set; }

    /// <summary>Whether the device's posted work waits for it, which can read the connection itself.</summary>
    public bool IsForWorker { get; set; }

    public VfioUserCommand Command { get; private set; }

    public ulong Iova { get; private set; }

    public int Count { get; private set; }

    /// <summary>Starts an exchange whose waiting thread keeps its buffer where it is.</summary>
    public void Begin(VfioUserCommand command, ulong iova, int count, byte* target)
    {
        Prepare(command, iova, count);
        _target = target;
        Volatile.Write(ref _state, Waiting);
    }

    /// <summary>Starts an exchange that is awaited.</summary>
    public Task<Errno> BeginAsync(VfioUserCommand command, ulong iova, int count, Memory<byte> memory)
    {
        Prepare(command, iova, count);
        _memory = memory;
        _promise = new TaskCompletionSource<Errno>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<Errno> task = _promise.Task;
        Volatile.Write(ref _state, Waiting);
        return task;
    }

    /// <summary>Blocks until settled.</summary>
    /// <returns>False when the time was up.</returns>
    public bool Wait(TimeSpan time)
    {
        if (_done)
        {
            return true;
        }

        bool endless = time == Timeout.InfiniteTimeSpan;
        long deadline = Environment.TickCount64 + (long)Math.Ceiling(time.TotalMilliseconds);
        lock (_gate)
        {
            while (!_done)
            {
                long left = deadline - Environment.TickCount64;
                if (!endless && left <= 0)
                {
                    return false;
                }

                Monitor.Wait(_gate, endless ? Timeout.Infinite : (int)Math.Min(left, int.MaxValue));
            }
        }

        return true;
    }

    public Errno Result => _result;

    public bool IsSettled => _done;

    /// <summary>Gives up, unless the reply is being taken at this moment.</summary>
    /// <returns>Whether the exchange was still waiting.</returns>
    public bool TrySettle(Errno result)
    {
        if (Interlocked.CompareExchange(ref _state, Settled, Waiting) != Waiting)
        {
            return false;
        }

        Finish(result);
        return true;
    }

    /// <summary>Takes the decision away from the waiting side, which then stays until <see cref="Complete"/>.</summary>
    /// <returns>Whether the exchange was still waiting.</returns>
    public bool TryClaim() => Interlocked.CompareExchange(ref _state, Settled, Waiting) == Waiting;

    /// <summary>Takes the reply of an exchange that was claimed.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="body">What follows the header.</param>
    public void Complete(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        Errno result;
        try
        {
            result = Take(header, body);
        }
        catch (Exception)
        {
            // The waiting side's memory is of its own making and may fail.
            result = Errno.EFAULT;
        }

        Finish(result);
    }

    /// <summary>Makes the exchange ready for its next use.</summary>
    public void Recycle()
    {
        _target = null;
        _memory = default;
        _promise = null;
        IsPublished = false;
        IsForWorker = false;
        Volatile.Write(ref _state, Idle);
    }

    private void Prepare(VfioUserCommand command, ulong iova, int count)
    {
        Command = command;
        Iova = iova;
        Count = count;
        _done = false;
    }

    private void Finish(Errno result)
    {
        _result = result;
        TaskCompletionSource<Errno>? promise = _promise;
        lock (_gate)
        {
            _done = true;
            Monitor.PulseAll(_gate);
        }

        promise?.SetResult(result);
    }

    private Errno Take(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        if ((header.Flags & VfioUserMessageFlags.Error) != 0)
        {
            // What a port says of its own function is not a peer's to say: for these work is done again, or silently ended.
            Errno errno = ErrorReply.ErrnoOf(header);
            return errno is Errno.EBUSY or Errno.ECANCELED or Errno.EDEADLK ? Errno.EIO : errno;
        }

        if (header.Command != Command)
        {
            return Errno.EPROTO;
        }

        if (Command == VfioUserCommand.DmaWrite && body.Length == VfioUserDmaAccess.ShortReplyLength)
        {
            // The published table ends this reply after 4 bytes of the count.
            bool same = MemoryMarshal.Read<ulong>(body) == Iova && MemoryMarshal.Read<uint>(body[sizeof(ulong)..]) == (uint)Count;
            return same ? Errno.None : Errno.EPROTO;
        }

        if (body.Length < VfioUserDmaAccess.Length)
        {
            return Errno.EPROTO;
        }

        VfioUserDmaAccess echo = MemoryMarshal.Read<VfioUserDmaAccess>(body);
        ReadOnlySpan<byte> data = body[VfioUserDmaAccess.Length..];
        if (echo.Iova != Iova || echo.Count != (ulong)Count)
        {
            return Errno.EPROTO;
        }

        if (Command != VfioUserCommand.DmaRead)
        {
            return Errno.None;
        }

        if (data.Length != Count)
        {
            return Errno.EPROTO;
        }

        // SAFETY: the waiting thread keeps Count bytes in place until the exchange is settled, which happens after this copy.
        data.CopyTo(_target != null ? new Span<byte>(_target, Count) : _memory.Span);
        return Errno.None;
    }
}
