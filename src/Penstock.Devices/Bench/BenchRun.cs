using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// One measuring operation. It runs as posted work in slices, so that register calls get in between however long it lasts, and counts the
/// time of its slices only.
/// </summary>
internal sealed class BenchRun : IStrandWork
{
    private const ulong LongestAccess = 1 << 20;
    private const int AccessesBetweenLooksAtClock = 4096;

    private static readonly long SliceTicks = Stopwatch.Frequency / 50;

    private readonly BenchFunction _function;
    private readonly PciFunctionPort _port;
    private readonly BenchOperation _operation;
    private readonly BenchChoice _choice;
    private readonly ulong _length;
    private readonly byte[] _buffer = [];
    private readonly long _deadline;
    private ulong _state;
    private ulong _left;
    private ulong _succeeded;
    private long _ticks;

    /// <summary>Takes a copy of the control block: a peer may change it meanwhile.</summary>
    internal BenchRun(BenchFunction function, PciFunctionPort port, BenchOperation operation, ReadOnlySpan<byte> storage, TimeSpan limit)
    {
        _function = function;
        _port = port;
        _operation = operation;
        _choice = new BenchChoice(
            (BenchPattern)Get(storage, BenchRegisters.Pattern),
            Get(storage, BenchRegisters.BaseIova),
            Get(storage, BenchRegisters.Stride),
            Math.Max(Get(storage, BenchRegisters.Regions), 1));
        _state = _choice.FirstState;
        _length = Get(storage, BenchRegisters.Length);
        _left = Get(storage, BenchRegisters.Iterations);
        _deadline = Stopwatch.GetTimestamp() + (long)(limit.TotalSeconds * Stopwatch.Frequency);
        if (_length is 0 or > LongestAccess)
        {
            _left = 0;
        }
        else if (operation is BenchOperation.ReadByMessage or BenchOperation.WriteByMessage)
        {
            _buffer = new byte[_length];
        }
    }

    /// <summary>One slice, on the strand.</summary>
    public void Run()
    {
        if (!_function.IsCurrent(this))
        {
            return;
        }

        var start = Stopwatch.GetTimestamp();
        var end = Math.Min(start + SliceTicks, _deadline);
        long now;
        do
        {
            if (_buffer.Length != 0)
            {
                // The strand is given free while a message is under way: a reset may have come.
                Transfer();
                if (!_function.IsCurrent(this))
                {
                    return;
                }
            }
            else
            {
                Translate();
            }

            now = Stopwatch.GetTimestamp();
        }
        while (_left != 0 && now < end);

        _ticks += now - start;
        if (_left != 0 && now < _deadline)
        {
            _port.Strand.Post(this);
        }
        else
        {
            _function.Finish((ulong)(_ticks * (1e9 / Stopwatch.Frequency)), _succeeded);
        }
    }

    private static ulong Get(ReadOnlySpan<byte> storage, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(storage[offset..]);

    private void Transfer()
    {
        if (_left == 0)
        {
            return;
        }

        _left--;
        var iova = _choice.Next(ref _state);
        var errno = _operation == BenchOperation.ReadByMessage ? _port.Dma.Read(iova, _buffer) : _port.Dma.Write(iova, _buffer);
        if (errno == Errno.None)
        {
            _succeeded++;
        }
        else if (errno is Errno.ENOTCONN or Errno.ETIMEDOUT)
        {
            // Nobody answers any more.
            _left = 0;
        }
    }

    // Measured from the first call on, so it must not start unoptimised.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Translate()
    {
        var count = (int)Math.Min(_left, AccessesBetweenLooksAtClock);
        _left -= (ulong)count;

        // What chooses the region stays in registers, so that it is not what is measured.
        var choice = _choice;
        var state = _state;
        var dma = _port.Dma;
        var length = _length;
        ulong succeeded = 0;
        if (_operation == BenchOperation.Translate && choice.IsRandom)
        {
            for (var i = 0; i < count; i++)
            {
                using var scope = dma.Enter();
                if (scope.TryBorrow(choice.NextAtRandom(ref state), length, DmaAccess.ReadWrite, out var run) && run.Length == length)
                {
                    succeeded++;
                }
            }
        }
        else if (_operation == BenchOperation.Translate)
        {
            for (var i = 0; i < count; i++)
            {
                // The scope is part of what one access costs.
                using var scope = dma.Enter();
                if (scope.TryBorrow(choice.Next(ref state), length, DmaAccess.ReadWrite, out var run) && run.Length == length)
                {
                    succeeded++;
                }
            }
        }
        else
        {
            for (var i = 0; i < count; i++)
            {
                using var scope = dma.Enter();
                if (scope.TryHold(choice.Next(ref state), length, DmaAccess.ReadWrite, out var held) == Errno.None)
                {
                    succeeded += held.Length == length ? 1UL : 0;
                    held.Dispose();
                }
            }
        }

        _state = state;
        _succeeded += succeeded;
    }
}
