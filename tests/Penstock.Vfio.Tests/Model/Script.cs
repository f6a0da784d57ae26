namespace Penstock.Vfio.Tests.Model;

/// <summary>A sequence of steps, compared step by step between the naive books and the library.</summary>
internal static class Script
{
    /// <summary>
    /// Steps of a run: the devices come first, the rest is random. Books of its own tell the generator what would mean nothing, which it
    /// leaves out, and what would only fail, of which it keeps a part: deep states are reached only by steps that succeed.
    /// </summary>
    internal static List<Step> Random(int seed, int steps)
    {
        const int KeptFailures = 4;
        var random = new Random(seed);
        var books = new NaiveWorld();
        List<Step> script = [.. Enumerable.Range(0, Places.Devices).Select(i => new Step(StepKind.Register, i))];
        script.ForEach(s => books.Apply(s));
        while (script.Count < steps)
        {
            Step step = Step.Random(random);
            if (step.Kind == StepKind.Kill)
            {
                Array.ForEach(Places.Closings(step.A, step.B), s => books.Apply(s));
                script.Add(step);
                continue;
            }

            // Failures change nothing, except where an unmapping fails half way.
            bool dropsFailure = step.Kind != StepKind.UnmapIoas && random.Next(KeptFailures) != 0;
            if (books.Apply(step) is { } outcome && !(dropsFailure && outcome.Errno != Interop.Errno.None))
            {
                script.Add(step);
            }
        }

        return script;
    }

    /// <summary>Runs a script to the end and takes everything down; null when nothing diverged and nothing was left.</summary>
    internal static string? Run(IReadOnlyList<Step> script, int order, Func<VfioHost, RealWorld>? make = null)
    {
        using VfioHost host = RealWorld.NewHost();
        RealWorld real = make?.Invoke(host) ?? new RealWorld(host, "d");
        string? difference = Compare(script, new NaiveWorld(), real);
        try
        {
            real.CloseAll(order);
            real.Dispose();
        }
        catch (Exception e) when (difference is not null || e is VfioException or Xunit.Sdk.XunitException)
        {
            return difference ?? $"closing everything: {e.Message}";
        }

        return difference ?? (host.Ledger.Total == 0 ? null : $"left behind: {host.Ledger}");
    }

    /// <summary>Runs a script on both worlds; says at which step they first differ.</summary>
    internal static string? Compare(IReadOnlyList<Step> script, IWorld expected, IWorld real)
    {
        var wanted = new List<long>();
        var seen = new List<long>();
        int number = 0;
        foreach (Step step in script.SelectMany(Atoms))
        {
            number++;
            Outcome? right;
            Outcome? got;
            try
            {
                right = expected.Apply(step);
                got = real.Apply(step);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                return $"step {number} ({step}) threw {e}";
            }

            if (right != got)
            {
                return $"step {number} ({step}): expected {right?.ToString() ?? "nothing to do"}, got {got?.ToString() ?? "nothing to do"}";
            }

            if (right is null)
            {
                continue;
            }

            wanted.Clear();
            seen.Clear();
            expected.Observe(wanted);
            real.Observe(seen);
            if (!wanted.SequenceEqual(seen))
            {
                return $"after step {number} ({step}): expected to see\n  {string.Join(' ', wanted)}, saw\n  {string.Join(' ', seen)}";
            }
        }

        return null;
    }

    /// <summary>Leaves out what a failing script does not need, until every step that is left is needed.</summary>
    internal static List<Step> Shrink(IReadOnlyList<Step> script, Func<IReadOnlyList<Step>, bool> fails)
    {
        List<Step> left = [.. script];
        for (int chunk = left.Count / 2; chunk >= 1; chunk /= 2)
        {
            for (int start = left.Count - chunk; start >= 0; start -= chunk)
            {
                List<Step> fewer = [.. left[..start], .. left[Math.Min(start + chunk, left.Count)..]];
                if (fails(fewer))
                {
                    left = fewer;
                    start = Math.Min(start, left.Count);
                }
            }
        }

        return left;
    }

    /// <summary>What a person needs to see the failure again.</summary>
    internal static string Report(string difference, int seed, IReadOnlyList<Step> script) =>
        $"{difference}\nseed {seed}; the shortest script that still differs, for {nameof(LifecycleModelTests)}.{nameof(LifecycleModelTests.Script_Recorded_AgreesWithTheBooks)}:\n"
        + string.Join('\n', script);

    private static IEnumerable<Step> Atoms(Step step) => step.Kind == StepKind.Kill ? Places.Closings(step.A, step.B) : [step];
}
