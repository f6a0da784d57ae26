using Penstock.Pci;

namespace Penstock.Testing;

/// <summary>
/// A user who does at random whatever a user can do: register and configuration accesses of all widths, resets, maps and unmaps, garbage
/// in memory, interrupts, migration states. A model passes when no exception leaves it, it never hangs, it gives everything back, and it touches no memory
/// that is not mapped for it. A run that fails is repeated with fewer and fewer steps, and the report shows the shortest list that was found.
/// </summary>
public static class HostileUser
{
    /// <summary>Lets a hostile user at a model.</summary>
    /// <param name="makeFunction">Makes a new model; called again for each attempt to shorten. Disposed afterwards when it is disposable.</param>
    /// <param name="options">What he does; null for the defaults.</param>
    /// <returns>What came of it.</returns>
    public static HostileUserReport Attack(Func<IPciFunction> makeFunction, HostileUserOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(makeFunction);
        options ??= new HostileUserOptions();
        IPciFunction function = makeFunction();
        List<HostileStep> steps = new HostilePlan(function, options).Make();
        string? failure = Run(function, steps, options, out int done);
        if (failure is null)
        {
            return new HostileUserReport(options.Seed, done, null, []);
        }

        steps.RemoveRange(done, steps.Count - done);
        Shrink(makeFunction, steps, options, ref failure);
        return new HostileUserReport(options.Seed, done, failure, [.. steps.Select(static s => s.ToString())]);
    }

    /// <summary>Takes parts away, larger ones first, and keeps what still fails.</summary>
    private static void Shrink(Func<IPciFunction> makeFunction, List<HostileStep> steps, HostileUserOptions options, ref string failure)
    {
        int attempts = options.ShrinkAttempts;
        for (int part = Math.Max(1, steps.Count / 2); attempts > 0; part = Math.Max(1, part / 2))
        {
            bool shorter = false;
            for (int start = Math.Max(0, steps.Count - part); attempts > 0 && steps.Count > 1;)
            {
                List<HostileStep> fewer = [.. steps.Take(start), .. steps.Skip(start + part)];
                attempts--;
                if (Run(makeFunction(), fewer, options, out int done) is { } same)
                {
                    fewer.RemoveRange(done, fewer.Count - done);
                    steps.Clear();
                    steps.AddRange(fewer);
                    failure = same;
                    shorter = true;
                    start = Math.Min(start, steps.Count);
                }

                if (start == 0)
                {
                    break;
                }

                start = Math.Max(0, start - part);
            }

            if (part == 1 && !shorter)
            {
                return;
            }
        }
    }

    /// <summary>Does the steps on a thread of their own, so that a model that hangs is found out.</summary>
    private static string? Run(IPciFunction function, List<HostileStep> steps, HostileUserOptions options, out int done)
    {
        string? failure = null;
        int reached = 0;
        var worker = new Thread(() => failure = RunHere(function, steps, options, ref reached)) { IsBackground = true, Name = "hostile user" };
        worker.Start();
        int seen = -1;
        while (!worker.Join(options.StepTimeout + options.StepTimeout))
        {
            int now = Volatile.Read(ref reached);
            if (now == seen)
            {
                done = Math.Min(now + 1, steps.Count);
                return $"hangs at step {now}: {(now < steps.Count ? steps[now] : "closing")}";
            }

            seen = now;
        }

        done = Math.Min(reached + (failure is null ? 0 : 1), steps.Count);
        return failure;
    }

    private static string? RunHere(IPciFunction function, List<HostileStep> steps, HostileUserOptions options, ref int reached)
    {
        try
        {
            using var session = new HostileSession(function, options);
            foreach (HostileStep step in steps)
            {
                session.Do(step);
                Interlocked.Increment(ref reached);
            }

            session.Finish();
            return null;
        }
        catch (Exception e)
        {
            return e is TestBenchException ? e.Message : e.ToString();
        }
        finally
        {
            (function as IDisposable)?.Dispose();
        }
    }
}
