namespace Penstock.VfioUser;

/// <summary>
/// What the peer may be about to answer at the same time. A real QEMU that cannot put a whole reply into its socket's buffer sends a part of it
/// and then other things, which ends the connection; so all replies that are on their way together must fit there. First come, first served: a
/// long one is not overtaken for ever by short ones. From any thread.
/// </summary>
internal sealed class ReplyRoom : IDisposable
{
    /// <summary>A buffer of Linux's usual size takes 180,224 bytes in one piece; this is for pieces.</summary>
    private const int Units = 36;
    private const int UnitBytes = 4096;

    private readonly SemaphoreSlim _queue = new(1);
    private readonly SemaphoreSlim _changed = new(0);
    private int _free = Units;
    private int _waiting;

    /// <summary>Takes the room for a reply with as many bytes of data, at most <see cref="DmaMessageChannel.ChunkLimit"/>.</summary>
    /// <returns>False when there was none in this time.</returns>
    public bool Take(int bytes, TimeSpan time)
    {
        if (Volatile.Read(ref _waiting) == 0 && TryTake(bytes))
        {
            return true;
        }

        Interlocked.Increment(ref _waiting);
        try
        {
            if (!_queue.Wait(time))
            {
                return false;
            }

            try
            {
                while (!TryTake(bytes))
                {
                    if (!_changed.Wait(time))
                    {
                        return false;
                    }
                }

                return true;
            }
            finally
            {
                _queue.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    /// <summary>As <see cref="Take"/>, without blocking a thread.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async ValueTask<bool> TakeAsync(int bytes, TimeSpan time, CancellationToken cancellation)
    {
        if (Volatile.Read(ref _waiting) == 0 && TryTake(bytes))
        {
            return true;
        }

        Interlocked.Increment(ref _waiting);
        try
        {
            if (!await _queue.WaitAsync(time, cancellation).ConfigureAwait(false))
            {
                return false;
            }

            try
            {
                while (!TryTake(bytes))
                {
                    if (!await _changed.WaitAsync(time, cancellation).ConfigureAwait(false))
                    {
                        return false;
                    }
                }

                return true;
            }
            finally
            {
                _queue.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    /// <summary>Gives room back.</summary>
    public void Give(int bytes)
    {
        Interlocked.Add(ref _free, UnitsOf(bytes));
        if (Volatile.Read(ref _waiting) != 0)
        {
            _changed.Release();
        }
    }

    public void Dispose()
    {
        _queue.Dispose();
        _changed.Dispose();
    }

    private static int UnitsOf(int bytes) => 1 + (bytes / UnitBytes);

    private bool TryTake(int bytes)
    {
        int units = UnitsOf(bytes);
        int free = Volatile.Read(ref _free);
        while (free >= units)
        {
            int found = Interlocked.CompareExchange(ref _free, free - units, free);
            if (found == free)
            {
                return true;
            }

            free = found;
        }

        return false;
    }
}
