using System.Collections.Concurrent;
using System.Numerics;
using System.Runtime.ExceptionServices;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Carries changes of outputs from register calls to a handler: first to posted work, so that the register call is over, then to a pool
/// thread, so that a slow handler holds up neither the strand nor the guest. What waits is bounded.
/// </summary>
internal sealed class OutputAnnouncer(Strand strand, Action<int, bool> handler) : IStrandWork, IThreadPoolWorkItem
{
    private const int Limit = 1024;

    private readonly ConcurrentQueue<ushort> _states = new();
    private int _waiting;
    private int _running;
    private int _latest;
    private int _skipped;
    private ushort _announced;
    private bool _posted;

    /// <summary>Notes new levels; called on the strand.</summary>
    /// <param name="outputs">All outputs.</param>
    internal void Record(ushort outputs)
    {
        Volatile.Write(ref _latest, outputs);
        if (Interlocked.Increment(ref _waiting) > Limit)
        {
            Interlocked.Decrement(ref _waiting);
            Volatile.Write(ref _skipped, 1);
        }
        else
        {
            _states.Enqueue(outputs);
        }

        if (!_posted)
        {
            _posted = true;
            strand.Post(this);
        }
    }

    /// <summary>On the strand: the register call is over.</summary>
    void IStrandWork.Run()
    {
        _posted = false;
        if (Interlocked.Exchange(ref _running, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>On a pool thread, one at a time.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        do
        {
            Deliver();
            Interlocked.Exchange(ref _running, 0);
        }
        while ((!_states.IsEmpty || Volatile.Read(ref _skipped) != 0) && Interlocked.Exchange(ref _running, 1) == 0);
    }

    private void Deliver()
    {
        while (_states.TryDequeue(out var state))
        {
            Interlocked.Decrement(ref _waiting);
            Announce(state);
        }

        if (Interlocked.Exchange(ref _skipped, 0) != 0)
        {
            Announce((ushort)Volatile.Read(ref _latest));
        }
    }

    private void Announce(ushort state)
    {
        for (uint changed = (uint)(state ^ _announced); changed != 0; changed &= changed - 1)
        {
            var line = BitOperations.TrailingZeroCount(changed);
            try
            {
                handler(line, (state >> line & 1) != 0);
            }
            catch (Exception e)
            {
                // The strand logs it; on this thread it would end the process.
                var thrown = ExceptionDispatchInfo.Capture(e);
                strand.Post(thrown.Throw);
            }
        }

        _announced = state;
    }
}
