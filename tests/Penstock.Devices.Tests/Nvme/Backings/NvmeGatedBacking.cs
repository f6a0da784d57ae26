using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>A disk that is as slow as a test wants: calls wait at a gate. It can also be made to fail.</summary>
internal sealed class NvmeGatedBacking(ulong length = 8 << 20) : INvmeBacking
{
    private readonly MemoryNvmeBacking _memory = new(length);
    private readonly ManualResetEventSlim _gate = new(true);
    private int _waiting;
    private long _flushes;

    public ulong Length => length;

    public bool IsReadOnly => false;

    public bool MayBlock => true;

    public bool CanDeallocate => true;

    public long FlushCount => Interlocked.Read(ref _flushes);

    public string Description => "gated";

    /// <summary>How many calls wait.</summary>
    internal int Waiting => Volatile.Read(ref _waiting);

    /// <summary>What calls answer, when not none.</summary>
    internal Errno Failure { get; set; }

    /// <summary>Whether the next calls throw, as a defect would.</summary>
    internal bool Throws { get; set; }

    internal void Close() => _gate.Reset();

    internal void Open() => _gate.Set();

    public Errno Read(ulong offset, Span<byte> destination)
    {
        Errno errno = Pass();
        return errno == Errno.None ? _memory.Read(offset, destination) : errno;
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        Errno errno = Pass();
        return errno == Errno.None ? _memory.Write(offset, source) : errno;
    }

    public Errno Zero(ulong offset, ulong zeroed, bool deallocate)
    {
        Errno errno = Pass();
        return errno == Errno.None ? _memory.Zero(offset, zeroed, deallocate) : errno;
    }

    public Errno Flush()
    {
        Errno errno = Pass();
        if (errno == Errno.None)
        {
            Interlocked.Increment(ref _flushes);
        }

        return errno;
    }

    public void Dispose()
    {
        _gate.Set();
        _memory.Dispose();
        _gate.Dispose();
    }

    private Errno Pass()
    {
        Interlocked.Increment(ref _waiting);
        _gate.Wait();
        Interlocked.Decrement(ref _waiting);
        return Throws ? throw new InvalidOperationException("a defect") : Failure;
    }
}
