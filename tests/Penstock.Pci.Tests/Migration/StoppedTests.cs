using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>What a stopped device does, and what it does not.</summary>
public sealed class StoppedTests
{
    [Theory]
    [Trait("Row", "M15")]
    [InlineData(MigrationState.Stop)]
    [InlineData(MigrationState.StopCopy)]
    [InlineData(MigrationState.Resuming)]
    public async Task Stopped_NoDmaNoInterrupt_ConfigSpaceAndVectorsAnswer(MigrationState state)
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Events.Make(4);
        Bind(rig, 0, events);
        rig.File.SetMigrationState(state);

        // The device wants to: by posted work, from a thread of its own, awaited, and by both kinds of interrupts.
        rig.Write(0, 8, 0);
        rig.Write(0, 16, 0x8000);
        rig.Write(0, 24, 64);
        Assert.Equal(Errno.EBUSY, rig.Counter.Port.Dma.Write(0, new byte[64]));
        ValueTask<Errno> awaited = rig.Counter.Port.Dma.WriteAsync(0x4000, (byte[])[1, 2, 3]);
        using (DmaScope scope = rig.Counter.Port.Dma.Enter())
        {
            Assert.False(scope.TryBorrow(0, 64, DmaAccess.Write, out _));
            Assert.Equal(Errno.EFAULT, scope.TryHold(0, 64, DmaAccess.Write, out _));
        }

        rig.Counter.Port.SignalVector(1);
        await Task.Delay(30);
        Assert.Equal(64ul, rig.Read(0, 24));
        Assert.False(awaited.IsCompleted);
        Assert.Equal((ulong[])[0, 0, 0, 0], events.Counts());
        Assert.False(rig.Guest.ContainsAnyExcept((byte)0));

        // Configuration space answers; vectors can be taken away and added, one of which is pending.
        byte[] id = new byte[2];
        Assert.Equal(Errno.None, rig.File.Read(VfioRegions.Config, 0, id, out _));
        Assert.Equal((byte[])[0x36, 0x1b], id);
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 0x3c, [9], out _));
        Bind(rig, 1, [null]);
        EventDescriptor added = Events.Make(1)[0];
        Bind(rig, 1, [added]);
        Assert.Equal(0ul, added.Count());

        rig.File.SetMigrationState(state == MigrationState.Resuming ? state : MigrationState.Running);
        if (state != MigrationState.Resuming)
        {
            Assert.Equal(1ul, added.Count());
            Assert.Equal(Errno.None, await awaited);
            Assert.True(SpinWait.SpinUntil(() => rig.Read(0, 24) == 0, TimeSpan.FromMinutes(2)), "the copy does not end");
        }
        else
        {
            rig.File.Reset();
            await awaited;
        }
    }

    [Fact]
    public async Task Stopped_Pin_IsKeptUntilItRuns()
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Events.Make(1);
        rig.File.SetIrqs(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Intx,
            Count = 1,
            Events = events,
        });
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.Counter.Port.SetIntx(true);
        Assert.Equal(0ul, events[0].Count());
        rig.File.SetMigrationState(MigrationState.RunningP2P);
        Assert.Equal(1ul, events[0].Count());
        using var ran = new ManualResetEventSlim();
        rig.Counter.Port.Dma.Post(() => ran.Set());
        await Task.Delay(20);
        Assert.False(ran.IsSet);
        rig.File.SetMigrationState(MigrationState.Running);
        Assert.True(ran.Wait(TimeSpan.FromMinutes(2)));
    }

    [Fact]
    public async Task Stop_WhileVectorsAreSignalled_NoneComesAfterAndNoneIsLost()
    {
        using var rig = new MigrationRig();
        EventDescriptor[] events = Events.Make(4);
        Bind(rig, 0, events);
        using var end = new CancellationTokenSource();
        long sent = 0;
        Task sending = Task.Run(() =>
        {
            while (!end.IsCancellationRequested)
            {
                rig.Counter.Port.SignalVector(0);
                Interlocked.Increment(ref sent);
            }
        });
        for (int round = 0; round < 200; round++)
        {
            rig.File.SetMigrationState(MigrationState.Stop);
            events[0].Count();
            Thread.SpinWait(2000);
            Assert.True(events[0].Count() == 0, $"round {round}: a vector came while stopped");
            long before = Interlocked.Read(ref sent);
            SpinWait.SpinUntil(() => Interlocked.Read(ref sent) > before + 1, TimeSpan.FromMinutes(2));
            rig.File.SetMigrationState(MigrationState.Running);

            // The thread that signals may be the one that has taken the pending bit, and not have got round to sending it.
            Assert.True(SpinWait.SpinUntil(() => events[0].Count() != 0, TimeSpan.FromMinutes(1)), $"round {round}: the vector is lost");
        }

        await end.CancelAsync();
        await sending;
    }

    [Fact]
    public void Close_Stopped_NextUserFindsItRunning()
    {
        using var rig = new MigrationRig();
        rig.File.SetMigrationState(MigrationState.Stop);
        rig.Write(0, 24, 64);
        rig.File.Dispose();
        using VfioDeviceFile next = rig.GroupFile.OpenDevice(rig.Device.Name);
        Assert.Equal(MigrationState.Running, next.GetMigrationState());
        Assert.Equal(Errno.None, rig.Counter.Port.Dma.Write(0, new byte[4]));
    }

    private static void Bind(MigrationRig rig, int start, EventDescriptor?[] events) => rig.File.SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Index = VfioIrqs.Msix,
        Start = (uint)start,
        Count = (uint)events.Length,
        Events = events,
    });
}
