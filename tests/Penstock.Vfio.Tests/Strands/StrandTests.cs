using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class StrandTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly ResourceLedger _ledger = new();
    private readonly List<string> _log = [];
    private readonly Strand _strand;

    public StrandTests() => _strand = new Strand("strand under test", _ledger, line =>
    {
        lock (_log)
        {
            _log.Add(line);
        }
    });

    public void Dispose()
    {
        _strand.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void Strand_NothingPosted_HasNoThread()
    {
        using (_strand.EnterRegisterCall())
        {
            Assert.True(_strand.InRegisterCall);
        }

        Assert.False(_strand.IsCurrent);
        Assert.Equal(0, _ledger.Outstanding(ResourceKind.Thread));
    }

    [Fact]
    public void Post_FromRegisterCall_RunsAfterItInOrder()
    {
        var order = new List<int>();
        using var done = new ManualResetEventSlim();
        using (_strand.EnterRegisterCall())
        {
            for (int i = 0; i < 100; i++)
            {
                int n = i;
                _strand.Post(() => order.Add(n));
            }

            _strand.Post(done.Set);
            Assert.False(done.Wait(20));
            Assert.Empty(order);
        }

        done.Wait();
        Assert.Equal(Enumerable.Range(0, 100), order);
    }

    [Fact]
    public void Work_TellsWhenItComesToAStop()
    {
        using var idle = new SemaphoreSlim(0);
        using var hold = new ManualResetEventSlim();
        bool onWorker = false;
        void Tell() => idle.Release();
        _strand.WatchIdle(Tell);
        Assert.False(_strand.IsWorking || _strand.IsWorker);
        _strand.Post(() =>
        {
            onWorker = _strand.IsWorker;
            hold.Wait();
        });
        Assert.True(_strand.IsWorking);
        Assert.False(idle.Wait(20));
        hold.Set();
        Assert.True(idle.Wait(Patience));
        Assert.True(onWorker);
        Assert.False(_strand.IsWorking);

        // Held back it waits for somebody else, too.
        _strand.HoldPosted();
        _strand.Post(static () => { });
        Assert.True(idle.Wait(Patience));
        Assert.False(_strand.IsWorking);
        _strand.ReleasePosted();
        Assert.True(idle.Wait(Patience));
        _strand.UnwatchIdle(Tell);
        _strand.UnwatchIdle(static () => { });
    }

    [Fact]
    public void Place_RunsWorkOnThatProcessor()
    {
        // One that this process may use, wherever it runs.
        int here = Allowed("/proc/self/status")[0];
        using var done = new ManualResetEventSlim();
        int[] allowed = [];
        _strand.Place(here);
        _strand.Post(() =>
        {
            allowed = Allowed("/proc/thread-self/status");
            done.Set();
        });
        Assert.True(done.Wait(Patience));
        Assert.Equal([here], allowed);
        Assert.Throws<ArgumentOutOfRangeException>(() => _strand.Place(-1));

        static int[] Allowed(string status)
        {
            string list = File.ReadLines(status).Single(static l => l.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal)).Split(':')[1];
            return [.. list.Split(',').SelectMany(static part =>
            {
                int[] ends = [.. part.Split('-').Select(static n => int.Parse(n, System.Globalization.CultureInfo.InvariantCulture))];
                return Enumerable.Range(ends[0], ends[^1] - ends[0] + 1);
            })];
        }
    }

    [Fact]
    public void HoldPosted_UntilReleased_KeepsWorkBack()
    {
        using var done = new ManualResetEventSlim();
        _strand.HoldPosted();
        _strand.HoldPosted();
        using (_strand.EnterRegisterCall())
        {
            _strand.Post(done.Set);
        }

        Assert.False(done.Wait(20));
        _strand.ReleasePosted();
        Assert.False(done.Wait(20));
        _strand.ReleasePosted();
        done.Wait();
    }

    [Fact]
    public void EnterRegisterCall_WhileWorkRuns_WaitsForItAndGoesBeforeTheNext()
    {
        using var running = new ManualResetEventSlim();
        using var finish = new ManualResetEventSlim();
        var order = new List<string>();
        _strand.Post(() =>
        {
            running.Set();
            finish.Wait();
            order.Add("first work");
        });
        _strand.Post(() => order.Add("second work"));
        running.Wait();
        var register = new Thread(() =>
        {
            using StrandScope scope = _strand.EnterRegisterCall();
            order.Add("register");
        })
        { IsBackground = true };
        register.Start();
        Assert.True(SpinWait.SpinUntil(() => (register.ThreadState & ThreadState.WaitSleepJoin) != 0, Patience), "the call does not wait");
        finish.Set();
        Assert.True(register.Join(Patience), "the call waits for ever");
        using var end = new ManualResetEventSlim();
        _strand.Post(end.Set);
        end.Wait();
        Assert.Equal(["first work", "register", "second work"], order);
    }

    [Fact]
    public void Enter_Nested_StaysWhatItIs()
    {
        using var done = new ManualResetEventSlim();
        bool inRegisterCall = true;
        using (_strand.EnterRegisterCall())
        {
            _strand.RunOn(() => Assert.True(_strand.InRegisterCall));
            using (_strand.EnterRegisterCall())
            {
                Assert.True(_strand.InRegisterCall);
            }

            Assert.True(_strand.InRegisterCall);
        }

        _strand.Post(() =>
        {
            using StrandScope scope = _strand.EnterRegisterCall();
            inRegisterCall = _strand.InRegisterCall;
            done.Set();
        });
        done.Wait();
        Assert.False(inRegisterCall);
    }

    [Fact]
    public void RunOn_FromOutside_IsOnTheStrandButInNoRegisterCall()
    {
        _strand.RunOn(() =>
        {
            Assert.True(_strand.IsCurrent);
            Assert.False(_strand.InRegisterCall);
        });
        Assert.Throws<InvalidOperationException>(() => _strand.RunOn(() => throw new InvalidOperationException()));
        Assert.False(_strand.IsCurrent);
    }

    [Fact]
    public void PostedWork_Throws_IsLoggedAndTheNextRuns()
    {
        using var done = new ManualResetEventSlim();
        _strand.Post(() => throw new InvalidOperationException("out of order"));
        _strand.Post(done.Set);
        done.Wait();
        Assert.Contains("out of order", Assert.Single(_log), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Everything_FromManyThreads_IsNeverTwoAtATime()
    {
        int inside = 0;
        int overlaps = 0;
        int ran = 0;
        void Touch()
        {
            if (Interlocked.Increment(ref inside) != 1)
            {
                Interlocked.Increment(ref overlaps);
            }

            Thread.SpinWait(20);
            Interlocked.Decrement(ref inside);
        }

        Task[] callers = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 3000; i++)
            {
                _strand.HoldPosted();
                using (_strand.EnterRegisterCall())
                {
                    Touch();
                    _strand.Post(() =>
                    {
                        Touch();
                        ran++;
                    });
                }

                _strand.ReleasePosted();
            }
        }))];
        await Task.WhenAll(callers);
        using var done = new ManualResetEventSlim();
        _strand.Post(done.Set);
        done.Wait();
        Assert.Equal(0, overlaps);
        Assert.Equal(9000, ran);
    }

    [Fact]
    public void Dispose_WorkQueued_DropsItAndStops()
    {
        bool ran = false;
        using var queued = new ManualResetEventSlim();
        _strand.Post(() =>
        {
            queued.Wait();
            _strand.Dispose();
        });
        _strand.Post(() => ran = true);
        queued.Set();
        _strand.Dispose();
        _strand.Post(() => ran = true);
        Assert.Equal(0, _ledger.Outstanding(ResourceKind.Thread));
        Assert.False(ran);
    }

    [Fact]
    public void Dispose_FromPostedWork_DoesNotWaitForItself()
    {
        using var done = new ManualResetEventSlim();
        _strand.Post(() =>
        {
            _strand.Dispose();
            done.Set();
        });
        done.Wait();
        SpinWait.SpinUntil(() => _ledger.Outstanding(ResourceKind.Thread) == 0);
    }
}
