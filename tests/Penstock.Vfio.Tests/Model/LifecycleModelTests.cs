using Penstock.Interop;

namespace Penstock.Vfio.Tests.Model;

/// <summary>
/// Random lives of containers, groups, devices, iommufds and machines against naive books: every answer and everything visible is
/// compared after every step, and nothing may be left at the end. A failure prints the shortest script that shows it.
/// </summary>
public sealed class LifecycleModelTests
{
    private const int StepsPerRun = 500;

    [Theory]
    [InlineData(1, 100)]
    [InlineData(1001, 100)]
    [Trait("Row", "S4-5")]
    [Trait("Row", "S4-21")]
    public void Lifetimes_RandomSteps_AgreeWithTheBooks(int firstSeed, int runs)
    {
        for (int seed = firstSeed; seed < firstSeed + runs; seed++)
        {
            List<Step> script = Script.Random(seed, StepsPerRun);
            if (Script.Run(script, seed) is { } difference)
            {
                int order = seed;
                List<Step> shortest = Script.Shrink(script, s => Script.Run(s, order) is not null);
                Assert.Fail(Script.Report(Script.Run(shortest, order) ?? difference, seed, shortest));
            }
        }
    }

    [Fact]
    public void Lifetimes_WorldsOfManyThreadsOnOneHost_EachAgreesWithItsBooks()
    {
        const int Threads = 4;
        const int Runs = 55;
        using VfioHost host = RealWorld.NewHost();
        string?[] failures = new string?[Threads];
        OnThreads(Threads, thread =>
        {
            for (int run = 0; run < Runs && failures[thread] is null; run++)
            {
                int seed = (thread * 1_000_000) + run + 17;
                List<Step> script = Script.Random(seed, StepsPerRun);
                var world = new RealWorld(host, $"t{thread}-{run}");
                failures[thread] = Script.Compare(script, new NaiveWorld(), world);
                if (failures[thread] is { } difference)
                {
                    // Alone it may go well: then only the whole script among the others shows it.
                    List<Step> shortest = Script.Run(script, seed) is null ? script : Script.Shrink(script, s => Script.Run(s, seed) is not null);
                    failures[thread] = Script.Report(difference, seed, shortest);
                    return;
                }

                world.CloseAll(seed);
                world.Dispose();
            }
        });
        Assert.All(failures, Assert.Null);
        Assert.True(host.Ledger.Total == 0, $"left behind: {host.Ledger}");
    }

    [Theory]
    [InlineData(5)]
    [InlineData(6)]
    [Trait("Row", "S4-21")]
    public void Lifetimes_OneWorldOfManyThreads_NothingLeaksHangsOrGoesAstray(int seed)
    {
        const int Threads = 4;
        const int Steps = 13000;
        Errno[] allowed =
        [
            Errno.None, Errno.EBADF, Errno.EINVAL, Errno.ENODEV, Errno.EBUSY, Errno.EPERM, Errno.EEXIST, Errno.ENOENT, Errno.EADDRINUSE,
        ];
        using VfioHost host = RealWorld.NewHost();
        var world = new RealWorld(host, "shared", shared: true);
        bool stop = false;
        var reader = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                world.LookAround();
            }
        }) { IsBackground = true };
        reader.Start();
        OnThreads(Threads, thread =>
        {
            foreach (Step step in Script.Random((seed * 100) + thread, Steps))
            {
                foreach (Step atom in step.Kind == StepKind.Kill ? Places.Closings(step.A, step.B) : [step])
                {
                    Outcome? outcome = world.Apply(atom);
                    Assert.True(outcome is null || allowed.Contains(outcome.Value.Errno), $"{atom} gave {outcome}");
                }
            }
        });
        Volatile.Write(ref stop, true);
        Assert.True(reader.Join(TimeSpan.FromMinutes(2)), "the reader hangs");
        world.CloseAll(seed);
        world.Dispose();
        Assert.True(host.Ledger.Total == 0, $"left behind: {host.Ledger}");
    }

    /// <summary>Scripts that once showed something, and a way to replay one by hand.</summary>
    [Theory]
    [InlineData("""
        Register 0
        OpenContainer 0
        OpenGroup 0 0
        SetContainer 0 0
        SetIommu 0 1
        Map 0 1 2 3 3
        CreateMachine 0
        SetGroupMachine 0 0
        OpenDevice 0 0 0
        DestroyMachine 0
        CloseContainer 0
        CloseGroup 0
        Unregister 0
        CloseDevice 0
        """)]
    [InlineData("""
        Register 1
        Register 4
        OpenIommufd 0
        OpenCdev 0 1
        OpenCdev 1 4
        Bind 0 0
        Attach 0
        MapIoas 0 2 3 5 1
        Bind 1 0
        Attach 1
        CloseIommufd 0
        CloseCdev 0
        Unregister 4
        CloseCdev 1
        """)]
    public void Script_Recorded_AgreesWithTheBooks(string script) => Assert.Null(Script.Run(Step.ParseAll(script), 1));

    /// <summary>Random scripts are no use unless they get somewhere: every step succeeds often, and every error of the books is met.</summary>
    [Fact]
    public void Script_Random_ReachesEveryStepAndError()
    {
        var succeeded = new Dictionary<StepKind, int>();
        var errors = new HashSet<Errno>();
        for (int seed = 1; seed <= 40; seed++)
        {
            var books = new NaiveWorld();
            foreach (Step step in Script.Random(seed, StepsPerRun).Where(s => s.Kind != StepKind.Kill))
            {
                if (books.Apply(step) is { } outcome)
                {
                    errors.Add(outcome.Errno);
                    succeeded[step.Kind] = succeeded.GetValueOrDefault(step.Kind) + (outcome.Errno == Errno.None ? 1 : 0);
                }
            }
        }

        Assert.All(Enum.GetValues<StepKind>().Where(k => k != StepKind.Kill), k => Assert.InRange(succeeded.GetValueOrDefault(k), 30, int.MaxValue));
        Assert.Superset(
            new HashSet<Errno> { Errno.EBADF, Errno.EINVAL, Errno.ENODEV, Errno.EBUSY, Errno.EPERM, Errno.EEXIST, Errno.ENOENT, Errno.EADDRINUSE },
            errors);
    }

    /// <summary>The judge is judged: a library that forgets to close one kind of file is found, and shown with a handful of steps.</summary>
    [Fact]
    public void Script_LibraryThatForgetsToClose_IsFoundAndShownShort()
    {
        static RealWorld Forgetful(VfioHost host) => new ForgetfulWorld(host);
        int seed = Enumerable.Range(1, 50).First(s => Script.Run(Script.Random(s, 200), s, Forgetful) is not null);
        List<Step> shortest = Script.Shrink(Script.Random(seed, 200), s => Script.Run(s, seed, Forgetful) is not null);
        Assert.InRange(shortest.Count, 1, 12);
        Assert.Contains(shortest, s => s.Kind == StepKind.OpenGroup);
        Assert.Null(Script.Run(shortest, seed));
    }

    private static void OnThreads(int count, Action<int> body)
    {
        Exception?[] failures = new Exception?[count];
        Thread[] threads = [.. Enumerable.Range(0, count).Select(i => new Thread(() =>
        {
            try
            {
                body(i);
            }
            catch (Exception e)
            {
                failures[i] = e;
            }
        }) { IsBackground = true })];
        Array.ForEach(threads, static t => t.Start());
        Assert.All(threads, static t => Assert.True(t.Join(TimeSpan.FromMinutes(8)), "a thread hangs"));
        Assert.All(failures, static f => Assert.Null(f));
    }

    private sealed class ForgetfulWorld(VfioHost host) : RealWorld(host, "forgetful")
    {
        private protected override Outcome Close(IDisposable file) => file is VfioGroup ? Errno.None : base.Close(file);
    }
}
