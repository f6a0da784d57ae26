using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// The measurement block of a function: counters that are written into the guest's memory at intervals, until the guest ends it or its memory
/// refuses. All members may be called from any thread; none of them takes a lock of the function.
/// </summary>
internal sealed class ZpciMeasurement(ZpciGuestFunction function, GuestMemory memory, TimeProvider time) : IDisposable
{
    // The clock of the machine starts with 1900 and has microseconds in bit 51, counted from the left.
    private const int MicrosecondShift = 12;
    private static readonly DateTimeOffset Epoch = new(1900, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly Lock _gate = new();
    private ITimer? _timer;
    private TimeSpan _interval;
    private ulong _address;
    private ulong _updated;
    private uint _samples;
    private long _loads;
    private long _stores;
    private long _blockStores;
    private long _refreshes;

    /// <summary>Where the block is; 0 while nothing is measured.</summary>
    public ulong Address => Volatile.Read(ref _address);

    public void CountLoad() => Interlocked.Increment(ref _loads);

    public void CountStore() => Interlocked.Increment(ref _stores);

    public void CountBlockStore() => Interlocked.Increment(ref _blockStores);

    public void CountRefresh() => Interlocked.Increment(ref _refreshes);

    /// <summary>The guest names a block. Another one before it is left as it is; the counters go on.</summary>
    public void Start(ulong address, ushort interval)
    {
        lock (_gate)
        {
            _address = address;
            _interval = TimeSpan.FromMilliseconds(Math.Max(interval, ZpciLimits.MeasurementInterval));
            _timer ??= time.CreateTimer(static m => ((ZpciMeasurement)m!).Update(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _timer.Change(_interval, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Ends it. When this returns nothing is written any more; the counters are 0.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _address = 0;
            _updated = 0;
            _samples = 0;
            _timer?.Dispose();
            _timer = null;
            Interlocked.Exchange(ref _loads, 0);
            Interlocked.Exchange(ref _stores, 0);
            Interlocked.Exchange(ref _blockStores, 0);
            Interlocked.Exchange(ref _refreshes, 0);
        }
    }

    public void Dispose() => Stop();

    private void Update()
    {
        lock (_gate)
        {
            // A timer that was on its way when it was disposed.
            if (_address == 0)
            {
                return;
            }

            ulong address = _address;
            if (TryUpdate())
            {
                _timer?.Change(_interval, Timeout.InfiniteTimeSpan);
                return;
            }

            Stop();
            function.Report(ZpciErrorEvent.MeasurementAddress, address);
        }
    }

    private bool TryUpdate()
    {
        Span<byte> samples = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(samples, ++_samples);
        if (!TryWrite(ZpciFmb.LastUpdateOffset, _updated | ZpciFmb.Updating) || memory.Write(_address + ZpciFmb.SamplesOffset, samples) != Errno.None)
        {
            return false;
        }

        ReadOnlySpan<long> counters = [Volatile.Read(ref _loads), Volatile.Read(ref _stores), Volatile.Read(ref _blockStores), Volatile.Read(ref _refreshes)];
        for (int i = 0; i < counters.Length; i++)
        {
            if (!TryWrite(ZpciFmb.CountersOffset + (i * sizeof(ulong)), (ulong)counters[i]))
            {
                return false;
            }
        }

        _updated = ((ulong)((time.GetUtcNow() - Epoch).Ticks / TimeSpan.TicksPerMicrosecond) << MicrosecondShift) & ~ZpciFmb.Updating;
        return TryWrite(ZpciFmb.LastUpdateOffset, _updated);
    }

    private bool TryWrite(int offset, ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        return memory.Write(_address + (ulong)offset, bytes) == Errno.None;
    }
}
