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
        Task owner = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                machines++;
                var machine = new FakeMachine
                {
                    // A machine's end wants VFIO's locks; holding one of them while it waits for another thread would be the deadlock.
                    OnDeath = () =>
                    {
                        _ = Task.Run(() => rig.Device.IsOpen).Result;
                        Interlocked.Increment(ref deaths);
                    },
                };
                group.SetHypervisor(machine);
                Thread.Yield();
                if ((machines & 1) == 0)
                {
                    group.SetHypervisor(null);
                }

                machine.Release();
            }
        });
        Task[] users = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 3000; i++)
            {
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
}
