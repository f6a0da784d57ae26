using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

public sealed class MigrateTests
{
    [Theory]
    [Trait("Row", "M13")]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    [InlineData(1 << 20)]
    public void Migrate_AnySplit_DestinationEqualsSource(int split)
    {
        using var source = new MigrationRig();
        Fill(source);
        using MigrationDataFile from = source.File.SetMigrationState(MigrationState.StopCopy)!;
        byte[] stream = MigrationRig.ReadAll(from, Math.Min(split, 1 << 16));

        using var destination = new MigrationRig();
        using MigrationDataFile to = destination.File.SetMigrationState(MigrationState.Resuming)!;
        for (int at = 0; at < stream.Length; at += split)
        {
            Assert.Equal(Errno.None, to.Write(stream.AsSpan(at, Math.Min(split, stream.Length - at)), out _));
        }

        Assert.Null(destination.File.SetMigrationState(MigrationState.Stop));
        Assert.Null(destination.File.SetMigrationState(MigrationState.Running));
        AssertEqual(source, destination);
    }

    [Fact]
    [Trait("Row", "M13")]
    public void Migrate_RandomSplits_DestinationEqualsSource()
    {
        var random = new Random(11);
        using var source = new MigrationRig();
        Fill(source);
        byte[] stream = Save(source);
        for (int round = 0; round < 20; round++)
        {
            using var destination = new MigrationRig();
            using MigrationDataFile to = destination.File.SetMigrationState(MigrationState.Resuming)!;
            for (int at = 0; at < stream.Length;)
            {
                int count = Math.Min(random.Next(1, 1 << random.Next(1, 14)), stream.Length - at);
                Assert.Equal(Errno.None, to.Write(stream.AsSpan(at, count), out int written));
                Assert.Equal(count, written);
                at += count;
            }

            destination.File.SetMigrationState(MigrationState.Running);
            AssertEqual(source, destination);
        }
    }

    [Fact]
    public void Migrate_WhileItWorks_MemoryThatChangesGoesAgain()
    {
        using var source = new MigrationRig();
        Fill(source);
        using MigrationDataFile from = source.File.SetMigrationState(MigrationState.PreCopy)!;
        VfioPrecopyFlags flags = default;
        (ulong initial, ulong dirty) = from.GetPrecopyInfo(ref flags);
        Assert.Equal(0ul, dirty);
        var stream = new List<byte>(MigrationRig.ReadAll(from));
        Assert.Equal(initial, (ulong)stream.Count);
        Assert.Equal((0ul, 0ul), from.GetPrecopyInfo(ref flags));

        // One byte in the second page, and one in the last, which is shorter.
        source.Write(1, 5000, 1);
        source.Write(1, 9000, 2);
        (initial, dirty) = from.GetPrecopyInfo(ref flags);
        Assert.Equal(0ul, initial);
        Assert.InRange(dirty, 4096ul + 1808, 4096ul + 1808 + 200);
        int before = stream.Count;
        stream.AddRange(MigrationRig.ReadAll(from));
        Assert.InRange(stream.Count - before, 4096 + 1808, (int)dirty);
        source.Write(1, 16, 3);
        source.Write(0, 8, 77);
        Assert.Null(source.File.SetMigrationState(MigrationState.StopCopy));
        stream.AddRange(MigrationRig.ReadAll(from));

        AssertArrives(source, [.. stream]);
    }

    [Fact]
    public void Migrate_MemoryRebuilt_BeginsAnewForUsersThatUnderstand()
    {
        using var source = new MigrationRig();
        Fill(source);
        using MigrationDataFile from = source.File.SetMigrationState(MigrationState.PreCopy)!;
        var stream = new List<byte>(MigrationRig.ReadAll(from));
        source.File.AllowMigrationRestarts();
        new Random(8).NextBytes(source.Counter.Memory);
        source.Counter.State.Rebuilt();
        VfioPrecopyFlags flags = default;
        (ulong initial, ulong dirty) = from.GetPrecopyInfo(ref flags);
        Assert.Equal(VfioPrecopyFlags.Restart, flags);
        Assert.InRange(initial, (ulong)CounterFunction.MemoryLength, CounterFunction.MemoryLength + 200ul);
        Assert.Equal(0ul, dirty);
        stream.AddRange(MigrationRig.ReadAll(from));
        source.File.SetMigrationState(MigrationState.StopCopy);
        stream.AddRange(MigrationRig.ReadAll(from));
        AssertArrives(source, [.. stream]);
    }

    [Fact]
    public void Migrate_SizeAndReset_AreAsTold()
    {
        using var source = new MigrationRig();
        Fill(source);
        Assert.InRange(source.File.GetMigrationDataSize(), (ulong)CounterFunction.MemoryLength, CounterFunction.MemoryLength + 2000ul);
        using MigrationDataFile from = source.File.SetMigrationState(MigrationState.StopCopy)!;
        source.File.Reset();
        Assert.Equal(MigrationState.Running, source.File.GetMigrationState());
        Assert.Equal(Errno.ENODEV, from.Read(new byte[8], out _));
        Assert.Equal(DeviceActivity.Running, source.Counter.Activities[^1]);
    }

    [Fact]
    public void Reset_ThroughConfigSpaceWhileStopped_LeadsToRunning()
    {
        using var rig = new MigrationRig();
        rig.File.SetMigrationState(MigrationState.Stop);
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 0x44, [3, 0], out _));
        Assert.Equal(MigrationState.Stop, rig.File.GetMigrationState());
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 0x44, [0, 0], out _));
        Assert.Equal(MigrationState.Running, rig.File.GetMigrationState());
    }

    [Fact]
    public void Migrate_PendingInterrupts_ArriveAtTheDestination()
    {
        using var source = new MigrationRig();
        EventDescriptor[] events = Events.Make(4);
        Bind(source, VfioIrqs.Msix, events);
        source.File.SetMigrationState(MigrationState.Stop);
        source.Counter.Port.SignalVector(2);
        byte[] stream = Save(source);
        Assert.Equal((ulong[])[0, 0, 0, 0], events.Counts());

        using var destination = new MigrationRig();
        EventDescriptor[] others = Events.Make(4);
        Load(destination, stream);
        Bind(destination, VfioIrqs.Msix, others);
        Assert.Equal((ulong[])[0, 0, 0, 0], others.Counts());
        destination.File.SetMigrationState(MigrationState.Running);
        Assert.Equal((ulong[])[0, 0, 1, 0], others.Counts());

        // The source goes on too, if its user wants: it was sent once there.
        source.File.SetMigrationState(MigrationState.Running);
        Assert.Equal((ulong[])[0, 0, 1, 0], events.Counts());
    }

    [Fact]
    public void Migrate_PinHigh_IsHighAtTheDestination()
    {
        using var source = new MigrationRig();
        source.Counter.Port.SetIntx(true);
        byte[] stream = Save(source);
        using var destination = new MigrationRig();
        EventDescriptor[] events = Events.Make(1);
        Bind(destination, VfioIrqs.Intx, events);
        Load(destination, stream);
        Assert.Equal(0ul, events[0].Count());
        destination.File.SetMigrationState(MigrationState.Running);
        Assert.Equal(1ul, events[0].Count());
    }

    [Fact]
    public void Migrate_CopyUnderWay_GoesOnWhereItWas()
    {
        using var source = new MigrationRig(pages: 64);
        using var destination = new MigrationRig(pages: 64);
        byte[] pattern = new byte[0x10000];
        new Random(5).NextBytes(pattern);
        pattern.CopyTo(source.Guest);
        EventDescriptor[] events = Events.Make(1);
        Bind(destination, VfioIrqs.Msi, events);
        source.Counter.Steps = 300;
        source.Write(0, 8, 0);
        source.Write(0, 16, 0x20000);
        source.Write(0, 24, 0x10000);
        const ulong Left = 0x10000 - (300 * CounterFunction.Step);
        Assert.True(SpinWait.SpinUntil(() => source.Read(0, 24) == Left, TimeSpan.FromMinutes(2)), "the copy does not come to its stop");

        byte[] stream = Save(source);
        byte[] frozen = source.Guest.ToArray();

        frozen.CopyTo(destination.Guest);
        Load(destination, stream);
        Assert.Equal(Left, destination.Counter.Values[3]);
        destination.File.SetMigrationState(MigrationState.Running);
        Assert.True(SpinWait.SpinUntil(() => destination.Read(0, 24) == 0, TimeSpan.FromMinutes(2)), "the copy does not end");

        Assert.True(destination.Guest.Slice(0x20000, 0x10000).SequenceEqual(pattern));
        Assert.Equal(1ul, events[0].Count());
    }

    internal static void Fill(MigrationRig rig)
    {
        new Random(7).NextBytes(rig.Counter.Memory);
        rig.Write(0, 0, 0x0123_4567_89ab_cdef);
        rig.Write(0, 8, 42);
        rig.Write(0, 16, 43);
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Config, 0x10, [0, 0, 0xcd, 0xab], out _));
    }

    internal static void AssertEqual(MigrationRig source, MigrationRig destination)
    {
        Assert.Equal(source.Counter.Values, destination.Counter.Values);
        Assert.True(source.Counter.Memory.SequenceEqual(destination.Counter.Memory));
        byte[] config = new byte[256];
        byte[] other = new byte[256];
        Assert.Equal(Errno.None, source.File.Read(VfioRegions.Config, 0, config, out _));
        Assert.Equal(Errno.None, destination.File.Read(VfioRegions.Config, 0, other, out _));
        Assert.Equal(config, other);
    }

    /// <summary>A new device that is given all that the source saved, and runs, is as the source is.</summary>
    private static void AssertArrives(MigrationRig source, byte[] stream)
    {
        using var destination = new MigrationRig();
        Load(destination, stream);
        destination.File.SetMigrationState(MigrationState.Running);
        AssertEqual(source, destination);
    }

    internal static byte[] Save(MigrationRig rig)
    {
        using MigrationDataFile from = rig.File.SetMigrationState(MigrationState.StopCopy)!;
        byte[] stream = MigrationRig.ReadAll(from);
        rig.File.SetMigrationState(MigrationState.Stop);
        return stream;
    }

    internal static void Load(MigrationRig rig, byte[] stream)
    {
        using MigrationDataFile to = rig.File.SetMigrationState(MigrationState.Resuming)!;
        Assert.Equal(Errno.None, to.Write(stream, out _));
        rig.File.SetMigrationState(MigrationState.Stop);
    }

    private static void Bind(MigrationRig rig, int index, EventDescriptor[] events) => rig.File.SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Index = (uint)index,
        Start = 0,
        Count = (uint)events.Length,
        Events = events,
    });
}
