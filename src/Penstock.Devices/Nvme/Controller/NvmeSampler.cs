using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Penstock.Devices;

/// <summary>
/// Tells where the time of the controller's strand goes by timing one look at the doorbells, with all that follows from it, in many. What a reading of
/// the clock takes is taken off again; a look of more than a millisecond does not count. On the strand, but for <see cref="Worked"/>.
/// Allocates nothing once it is made.
/// </summary>
internal sealed class NvmeSampler
{
    // Prime, so that it keeps no step with turns and batches.
    private const int Period = 61;
    private const int Trials = 1000;

    // In a longer look the system had put the thread aside: it says nothing of the controller.
    private static readonly long Longest = Stopwatch.Frequency / 1000;

    private const int Phases = (int)NvmePhase.Idle + 1;

    private readonly long[] _ticks = new long[Phases];
    private readonly long[] _open = new long[Phases];
    private readonly long _reading = CostOfReading();
    private bool _isOpen;
    private int _left = Period;
    private int _taken;
    private bool _isBusy;
    private long _began;
    private long _last;
    private long _commands;
    private long _worked;
    private long _workedTicks;

    /// <summary>A look begins, and what came of the one before it is over.</summary>
    /// <returns>This, if the look is timed; else null.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal NvmeSampler? Next()
    {
        if (_isOpen)
        {
            Close();
        }

        return --_left == 0 ? Open() : null;
    }

    /// <summary>All since the mark before was this.</summary>
    internal void Mark(NvmePhase phase)
    {
        long now = Stopwatch.GetTimestamp();
        _open[(int)phase] += Math.Max(0, now - _last - _reading);
        _last = now;
    }

    /// <summary>The look was not in vain.</summary>
    /// <param name="commands">How many I/O commands were taken off their queue.</param>
    internal void Busy(int commands)
    {
        _isBusy = true;
        _taken += commands;
    }

    /// <summary>The look that is being timed, if one is, is over: the strand leaves the controller alone for a while.</summary>
    internal void Close()
    {
        if (!_isOpen)
        {
            return;
        }

        Mark(NvmePhase.Other);
        _isOpen = false;
        bool counts = _last - _began <= Longest;
        for (int phase = 0; phase < Phases; phase++)
        {
            _ticks[_isBusy ? phase : (int)NvmePhase.Idle] += counts ? _open[phase] : 0;
            _open[phase] = 0;
        }

        _commands += counts ? _taken : 0;
    }

    /// <summary>A worker has carried out a command. From any thread.</summary>
    internal void Worked(long ticks)
    {
        Interlocked.Increment(ref _worked);
        Interlocked.Add(ref _workedTicks, ticks);
    }

    /// <summary>What has been seen so far.</summary>
    internal NvmeTimesLog Read() => new()
    {
        Commands = (ulong)_commands,
        Doorbells = Of(NvmePhase.Doorbells),
        Fetch = Of(NvmePhase.Fetch),
        Data = Of(NvmePhase.Data),
        Complete = Of(NvmePhase.Complete),
        Interrupt = Of(NvmePhase.Interrupt),
        Other = Of(NvmePhase.Other),
        Idle = Of(NvmePhase.Idle),
        WorkerCommands = (ulong)Interlocked.Read(ref _worked),
        Workers = Nanoseconds(Interlocked.Read(ref _workedTicks)),
    };

    private static ulong Nanoseconds(long ticks) => (ulong)(ticks * (1e9 / Stopwatch.Frequency));

    private static long CostOfReading()
    {
        long least = long.MaxValue;
        for (int i = 0; i < Trials; i++)
        {
            long first = Stopwatch.GetTimestamp();
            least = Math.Min(least, Stopwatch.GetTimestamp() - first);
        }

        return least;
    }

    private ulong Of(NvmePhase phase) => Nanoseconds(_ticks[(int)phase]);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private NvmeSampler Open()
    {
        _left = Period;
        _isOpen = true;
        _taken = 0;
        _isBusy = false;
        _began = _last = Stopwatch.GetTimestamp();
        return this;
    }
}
