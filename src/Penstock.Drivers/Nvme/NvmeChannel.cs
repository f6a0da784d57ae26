using System.Diagnostics;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// A queue pair that any number of threads share, with a buffer for each command. Whoever waits also takes completions, for all. Synchronous calls
/// allocate nothing. Stopped, it lets everybody go, and starts again with empty queues.
/// </summary>
internal sealed unsafe partial class NvmeChannel : IDisposable
{
    private const int Batch = 32;

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _room;
    private readonly NvmeRing _ring;
    private readonly NvmeCall[] _calls;
    private readonly NvmeDriver _driver;
    private VfioException? _stopped;
    private VfioException? _lastStopped;
    private CancellationTokenSource _stop = new();
    private int _users;
    private int _outstanding;

    internal NvmeChannel(NvmeDriver driver, NvmeRing ring, byte* buffers, ulong iova, int bufferSize)
    {
        _driver = driver;
        _ring = ring;
        BufferSize = bufferSize;
        _calls = new NvmeCall[ring.Depth];
        for (int i = 0; i < _calls.Length; i++)
        {
            // SAFETY: the caller's memory has a buffer for each call.
            _calls[i] = new NvmeCall(i, buffers + ((long)i * bufferSize), iova + ((ulong)i * (ulong)bufferSize), bufferSize);
        }

        _room = new SemaphoreSlim(ring.Depth);
    }

    internal NvmeRing Ring => _ring;

    internal int BufferSize { get; }

    /// <summary>How many commands the device has.</summary>
    internal int Outstanding => Volatile.Read(ref _outstanding);

    /// <summary>After <see cref="Stop"/>. Who waited for room may be about to give it back, so nothing is taken away here.</summary>
    public void Dispose() => _stop.Cancel();

    /// <summary>A command from its start to its end, on this thread.</summary>
    /// <exception cref="VfioException">ETIMEDOUT; the channel was stopped; the device refused the doorbell.</exception>
    internal NvmeStatus Run(ref NvmeCommand command, ReadOnlySpan<byte> outgoing, Span<byte> incoming, out uint result)
    {
        NvmeCall call = Enter();
        try
        {
            outgoing.CopyTo(call.Buffer);
            int length = Math.Max(outgoing.Length, incoming.Length);
            Submit(call, ref command, length);
            Wait(call);
            if ((call.Status & NvmeStatus.CodeMask) == NvmeStatus.Success)
            {
                call.Buffer[..incoming.Length].CopyTo(incoming);
            }

            result = call.Result;
            return call.Status;
        }
        finally
        {
            Leave(call);
        }
    }

    /// <summary>Takes what the device has completed.</summary>
    /// <returns>Whether there was anything.</returns>
    internal bool Process()
    {
        bool any = false;
        Span<int> asynchronous = stackalloc int[Batch];
        while (true)
        {
            lock (_gate)
            {
                if (_stopped is not null)
                {
                    return any;
                }

                _users++;
            }

            try
            {
                int taken = Collect(asynchronous, out int finished);
                foreach (int index in asynchronous[..finished])
                {
                    Finish(_calls[index]);
                }

                any |= taken != 0;
                if (taken < Batch)
                {
                    return any;
                }
            }
            finally
            {
                lock (_gate)
                {
                    _users--;
                }
            }
        }
    }

    /// <summary>Lets everybody go: who waits gets the exception, and so does who comes until <see cref="Restart"/>. Does not wait.</summary>
    internal void Stop(VfioException why)
    {
        CancellationTokenSource stop;
        lock (_gate)
        {
            _stopped ??= why;
            _lastStopped = _stopped;
            stop = _stop;
        }

        // Those who wait for room; on other threads, for what follows in them is not ours.
        _ = stop.CancelAsync();
        foreach (NvmeCall call in _calls)
        {
            if (call.Operation is { } operation && operation.TryClaim())
            {
                operation.TrySetException(new VfioException(why.Errno, operation.What, why.Why));
            }
        }
    }

    /// <summary>After <see cref="Stop"/>: waits until nobody is inside any more, then takes all calls back, whatever the device still has of them.</summary>
    internal void Empty()
    {
        // Synchronous callers look at it between two looks at the queue; copies end by themselves.
        SpinWait.SpinUntil(() => Volatile.Read(ref _users) == 0);
        lock (_gate)
        {
            foreach (NvmeCall call in _calls)
            {
                if (call.IsTaken)
                {
                    call.IsTaken = false;
                    _room.Release();
                }

                call.IsUnderWay = false;
                call.Operation = null;
            }

            Volatile.Write(ref _outstanding, 0);
        }
    }

    /// <summary>Begins anew, empty; the controller has no queues now.</summary>
    internal void Restart()
    {
        lock (_gate)
        {
            _ring.Reset();
            _stopped = null;
            if (_stop.IsCancellationRequested)
            {
                _stop = new CancellationTokenSource();
            }
        }
    }

    /// <summary>Whether a command has been under way for longer than a time.</summary>
    internal bool HasExpired(TimeSpan timeout)
    {
        if (Outstanding == 0)
        {
            return false;
        }

        lock (_gate)
        {
            return Array.Exists(_calls, c => c.IsUnderWay && Stopwatch.GetElapsedTime(c.Started) > timeout);
        }
    }

    private int Collect(Span<int> asynchronous, out int finished)
    {
        int taken = 0;
        finished = 0;
        Errno errno = Errno.None;
        string? fault;
        lock (_gate)
        {
            while (taken < Batch && _ring.TryTakeCompletion(out int index, out NvmeStatus status, out uint result))
            {
                NvmeCall call = _calls[index];
                call.Status = status;
                call.Result = result;
                call.IsUnderWay = false;
                taken++;
                if (call.Operation is null)
                {
                    call.IsDone = true;
                }
                else
                {
                    asynchronous[finished++] = index;
                }
            }

            if (taken != 0)
            {
                Volatile.Write(ref _outstanding, _outstanding - taken);
                errno = _ring.Acknowledge();
            }

            fault = _ring.Fault;
        }

        if (fault is not null || errno != Errno.None)
        {
            _driver.Fail(fault ?? $"queue {_ring.Id}: a doorbell was refused with {errno}");
        }

        return taken;
    }

    private NvmeCall Enter()
    {
        var spinner = new SpinWait();
        long start = 0;
        while (!_room.Wait(0))
        {
            ThrowIfStopped();
            Process();
            spinner.SpinOnce(sleep1Threshold: -1);
            start = start == 0 ? Stopwatch.GetTimestamp() : start;
            ThrowIfLate(start);
        }

        return TakeCall(null);
    }

    /// <summary>Takes one of the calls, for who has waited for room.</summary>
    private NvmeCall TakeCall(NvmeOperation? operation)
    {
        lock (_gate)
        {
            if (_stopped is not null)
            {
                _room.Release();
                ThrowIfStopped();
            }

            _users++;
            _ring.TryTakeNumber(out int index);
            NvmeCall call = _calls[index];
            call.Take();
            call.Operation = operation;
            return call;
        }
    }

    private void Submit(NvmeCall call, ref NvmeCommand command, int length)
    {
        Errno errno;
        lock (_gate)
        {
            ThrowIfStopped();
            if (length != 0)
            {
                _ring.SetData(ref command, call.Index, call.Iova, length);
            }

            call.IsUnderWay = true;
            Volatile.Write(ref _outstanding, _outstanding + 1);
            _ring.Put(ref command, call.Index);
            errno = _ring.Announce();
        }

        if (errno != Errno.None)
        {
            _driver.Fail($"queue {_ring.Id}: a doorbell was refused with {errno}");
        }
    }

    private void Wait(NvmeCall call)
    {
        const int LooksBetweenChecks = 256;
        var spinner = new SpinWait();
        for (int looks = 0; !call.IsDone; looks++)
        {
            Process();
            if (call.IsDone)
            {
                return;
            }

            ThrowIfStopped();
            spinner.SpinOnce(sleep1Threshold: -1);
            if (looks % LooksBetweenChecks == LooksBetweenChecks - 1)
            {
                _driver.LookWhileWaiting(call.Started);
                ThrowIfLate(call.Started);
            }
        }
    }

    private void Leave(NvmeCall call)
    {
        bool freed = false;
        lock (_gate)
        {
            // What the device still has is given back by a restart.
            if (call.IsDone || !call.IsUnderWay)
            {
                Free(call);
                freed = true;
            }

            _users--;
        }

        if (freed)
        {
            _room.Release();
        }
    }

    private void Free(NvmeCall call)
    {
        call.IsTaken = false;
        call.Operation = null;
        _ring.FreeNumber(call.Index);
    }

    private void ThrowIfLate(long start)
    {
        if (Stopwatch.GetElapsedTime(start) > _driver.CommandTimeout)
        {
            string why = $"no answer in {_driver.CommandTimeout.TotalSeconds} s";
            _driver.Fail($"queue {_ring.Id}: {why}");
            throw new VfioException(Errno.ETIMEDOUT, $"a command of {_driver.Name}", why);
        }
    }

    private void ThrowIfStopped() => Throw(Volatile.Read(ref _stopped));

    private static void Throw(VfioException? why)
    {
        if (why is not null)
        {
            throw new VfioException(why.Errno, why.What, why.Why);
        }
    }
}
