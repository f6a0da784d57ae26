namespace Penstock.Devices;

/// <summary>
/// Threads that carry out what would keep the strand waiting: disk I/O, and data in memory that has to be copied or asked for. They are
/// started when there is more to do than threads, and end with this object. All members may be called from any thread.
/// </summary>
internal sealed class NvmeWorkers : IDisposable
{
    private readonly object _gate = new();
    private readonly Action<int, int> _work;
    private readonly Action _finished;
    private readonly Thread?[] _threads;
    private readonly int[] _queue;
    private readonly int[] _done;
    private int _head;
    private int _count;
    private int _doneCount;
    private int _started;
    private int _idle;
    private int _inBacking;
    private bool _stopped;
    private bool _ending;

    /// <summary>Creates them; no thread runs yet.</summary>
    /// <param name="jobs">How many jobs there can be at once.</param>
    /// <param name="most">How many threads at most.</param>
    /// <param name="work">Carries a job out, on the worker of the number that comes second.</param>
    /// <param name="finished">There are finished jobs, on a worker.</param>
    internal NvmeWorkers(int jobs, int most, Action<int, int> work, Action finished)
    {
        _queue = new int[jobs];
        _done = new int[jobs];
        _threads = new Thread?[most];
        _work = work;
        _finished = finished;
    }

    /// <summary>How many threads there are.</summary>
    internal int Threads => Volatile.Read(ref _started);

    internal void Enqueue(int job)
    {
        lock (_gate)
        {
            _queue[(_head + _count) % _queue.Length] = job;
            _count++;
            if (_idle >= _count || _started == _threads.Length || _ending)
            {
                Monitor.PulseAll(_gate);
                return;
            }

            StartThread(_started);
        }
    }

    /// <summary>Takes back a job that no thread has begun.</summary>
    internal bool TryTakeBack(int job)
    {
        lock (_gate)
        {
            for (int i = 0; i < _count; i++)
            {
                if (_queue[(_head + i) % _queue.Length] != job)
                {
                    continue;
                }

                for (int next = i + 1; next < _count; next++)
                {
                    _queue[(_head + next - 1) % _queue.Length] = _queue[(_head + next) % _queue.Length];
                }

                _count--;
                return true;
            }

            return false;
        }
    }

    /// <summary>Takes a finished job.</summary>
    internal bool TryTakeDone(out int job)
    {
        job = 0;
        if (Volatile.Read(ref _doneCount) == 0)
        {
            return false;
        }

        lock (_gate)
        {
            if (_doneCount == 0)
            {
                return false;
            }

            job = _done[--_doneCount];
            return true;
        }
    }

    /// <summary>Begins a call of the backing, on a worker. False: the function is stopped, and its backing may be another's by now.</summary>
    internal bool TryEnterBacking()
    {
        lock (_gate)
        {
            if (_stopped)
            {
                return false;
            }

            _inBacking++;
            return true;
        }
    }

    internal void LeaveBacking()
    {
        lock (_gate)
        {
            if (--_inBacking == 0)
            {
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <summary>From now on no call of the backing begins; when this returns none is in progress.</summary>
    internal void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
            while (_inBacking != 0)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    /// <summary>Ends <see cref="Stop"/>.</summary>
    internal void Go()
    {
        lock (_gate)
        {
            _stopped = false;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Ends the threads after the job that each is in.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _ending = true;
            Monitor.PulseAll(_gate);
        }

        foreach (Thread? thread in _threads)
        {
            thread?.Join();
        }
    }

    /// <summary>By itself, so that only here a closure is made.</summary>
    private void StartThread(int worker)
    {
        var thread = new Thread(() => Run(worker)) { IsBackground = true, Name = $"nvme worker {worker}" };
        _threads[worker] = thread;
        _started++;
        thread.Start();
    }

    private void Run(int worker)
    {
        while (TryTake(out int job))
        {
            _work(job, worker);
            lock (_gate)
            {
                _done[_doneCount++] = job;
            }

            _finished();
        }
    }

    private bool TryTake(out int job)
    {
        lock (_gate)
        {
            _idle++;
            while ((_count == 0 || _stopped) && !_ending)
            {
                Monitor.Wait(_gate);
            }

            _idle--;
            job = _queue[_head];
            if (_ending)
            {
                return false;
            }

            _head = (_head + 1) % _queue.Length;
            _count--;
            return true;
        }
    }
}
