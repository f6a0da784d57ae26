namespace Penstock.Vfio.Tests.Hypervisor;

/// <summary>Machines that go at any moment while devices are opened and closed.</summary>
public sealed class LeaseStressTests
{
    [Fact]
    public async Task Machines_DestroyedWhileDevicesOpenAndClose_AreAliveWheneverADeviceHasOne()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        int withMachine = 0, without = 0, deaths = 0, bad = 0;
        void Look()
        {
            if (rig.Device.Hypervisor is FakeMachine machine)
            {
                Interlocked.Increment(ref withMachine);
                if (machine.IsDead)
                {
                    Interlocked.Increment(ref bad);
                }
            }
            else
            {
                Interlocked.Increment(ref without);
            }
        }

        rig.Device.OnOpen = rig.Device.OnClose = Look;
        using var stop = new CancellationTokenSource();
        int machines = 0;
        using var begun = new ManualResetEventSlim();

        // Opens that overlap are one to the driver; now and then all files are closed, so that there is a first open again.
        using var closed = new Barrier(4);
        // Threads of their own: in the pool the owner would wait for the users to finish.
        Task owner = OnItsOwnThread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                machines++;
                var machine = new FakeMachine
                {
                    // A machine's end wants VFIO's locks; holding one of them while it waits for another thread would be the deadlock.
                    OnDeath = () =>
                    {
                        OnItsOwnThread(() => _ = rig.Device.IsOpen).Wait();
                        Interlocked.Increment(ref deaths);
                    },
                };
                group.SetHypervisor(machine);
                begun.Set();

                // On a busy machine all users could otherwise be through between two machines.
                if (machines == 1)
                {
                    SpinWait.SpinUntil(() => stop.IsCancellationRequested || Volatile.Read(ref withMachine) > 0);
                }

                Thread.Sleep(1);
                if ((machines & 1) == 0)
                {
                    group.SetHypervisor(null);
                }

                machine.Release();
            }
        });
        Task[] users = [.. Enumerable.Range(0, 4).Select(_ => OnItsOwnThread(() =>
        {
            begun.Wait();
            for (int i = 0; i < 3000; i++)
            {
                if (i % 50 == 0)
                {
                    closed.SignalAndWait();
                }

                using VfioDeviceFile file = group.OpenDevice("fake0");
                if ((i & 3) == 0)
                {
                    Thread.Yield();
                }
            }
        }))];
        await Task.WhenAll(users);
        await stop.CancelAsync();
        await owner;
        Assert.Equal(0, bad);
        Assert.True(withMachine > 0, $"no open met a machine ({without} without)");
        Assert.Null(rig.Device.Hypervisor);
        Assert.Equal(machines, deaths);
        group.Dispose();
        container.Dispose();
    }

    private static Task OnItsOwnThread(Action work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
