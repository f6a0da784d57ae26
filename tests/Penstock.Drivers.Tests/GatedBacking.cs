using Penstock.Devices;
using Penstock.Interop;

namespace Penstock.Drivers.Tests;

/// <summary>A disk whose reads wait while a gate is closed.</summary>
internal sealed class GatedBacking(ulong length) : INvmeBacking
{
    private readonly MemoryNvmeBacking _memory = new(length);
    private readonly ManualResetEventSlim _gate = new(initialState: true);
    private readonly SemaphoreSlim _waiting = new(0);

    public ulong Length => _memory.Length;

    public bool IsReadOnly => false;

    public bool MayBlock => true;

    public bool CanDeallocate => true;

    public long FlushCount => _memory.FlushCount;

    public string Description => "memory with a gate";

    public void Shut() => _gate.Reset();

    public void Open() => _gate.Set();

    /// <summary>Waits until a read stands before the gate.</summary>
    public void WaitForReader() => Assert.True(_waiting.Wait(TimeSpan.FromMinutes(1)));

    public Errno Read(ulong offset, Span<byte> destination)
    {
        if (!_gate.IsSet)
        {
            _waiting.Release();
            _gate.Wait(TimeSpan.FromMinutes(2));
        }

        return _memory.Read(offset, destination);
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source) => _memory.Write(offset, source);

    public Errno Zero(ulong offset, ulong length, bool deallocate) => _memory.Zero(offset, length, deallocate);

    public Errno Flush() => _memory.Flush();

    public void Dispose()
    {
        _memory.Dispose();
        _gate.Dispose();
        _waiting.Dispose();
    }
}
