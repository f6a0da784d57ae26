using System.Diagnostics;

namespace Penstock.Tests;

/// <summary>
/// A time of the product's that has to run out where nobody answers, and must not where somebody does. A machine that stands still now and then may
/// make an honest answer later than any time that a test would wait for: nothing was shown then, and the test begins anew with a longer one.
/// </summary>
internal sealed class ShortTime
{
    private const int Factor = 4;
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    private bool _wasLate;

    private ShortTime(TimeSpan length) => Length = length;

    public TimeSpan Length { get; }

    /// <summary>Runs a test with a time, and again with a longer one only when it has failed and an honest part of it took about that time or longer.</summary>
    public static async Task Try(TimeSpan first, Func<ShortTime, Task> test)
    {
        for (TimeSpan length = first; ; length *= Factor)
        {
            var time = new ShortTime(length);
            try
            {
                await test(time);
                return;
            }
            catch (Exception)
            {
                // Not a filter: that would look before the finally blocks below have run.
                if (!time._wasLate || length * Factor > Longest)
                {
                    throw;
                }
            }
        }
    }

    /// <summary>What has to be answered within the time.</summary>
    public void Honest(Action part) => Honest(() =>
    {
        part();
        return true;
    });

    /// <summary>What has to be answered within the time.</summary>
    public T Honest<T>(Func<T> part)
    {
        long begun = Stopwatch.GetTimestamp();
        try
        {
            return part();
        }
        finally
        {
            End(begun);
        }
    }

    /// <summary>What has to be answered within the time.</summary>
    public async Task Honest(Func<Task> part)
    {
        long begun = Stopwatch.GetTimestamp();
        try
        {
            await part();
        }
        finally
        {
            End(begun);
        }
    }

    // A clock that ticks in large steps may have let it run out a little early.
    private void End(long begun) => _wasLate |= Stopwatch.GetElapsedTime(begun) > Length * 0.9;
}
