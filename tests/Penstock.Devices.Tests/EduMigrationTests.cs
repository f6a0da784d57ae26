using System.Security.Cryptography;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>An EDU device saved and loaded into another one, in one process.</summary>
public sealed class EduMigrationTests
{
    private const ulong Buffer = 0x40000;
    private const ulong Interrupt = 4;
    private const ulong Iova = 0x100000;

    private static readonly ulong[] Registers32 = [0x00, 0x04, 0x08, 0x20, 0x24];
    private static readonly ulong[] Registers64 = [0x80, 0x88, 0x90, 0x98];

    [Fact]
    public void State_OfIdleDevice_IsTheSameElsewhere()
    {
        using var source = new EduSlot();
        using var target = new EduSlot();
        byte[] data = RandomNumberGenerator.GetBytes(4096);
        source.Write(Buffer, data);
        source.Write32(0x04, 0x12345678);
        source.Write32(0x08, 9);
        source.WaitForFactorial();
        source.Write32(0x20, 0x80);
        source.Write32(0x60, 0x30);
        source.Write64(0x80, 0x1122334455667788);
        source.Write64(0x88, 1);
        source.Write64(0x90, 2);
        source.Write64(0x98, 6);

        Move(source, target);
        Assert.Equal(Registers32.Select(source.Read32), Registers32.Select(target.Read32));
        Assert.Equal(Registers64.Select(source.Read64), Registers64.Select(target.Read64));
        Assert.Equal(data, target.Read(Buffer, 4096));
        Assert.Equal((0L, 0L), (target.Edu.Factorials, target.Edu.Transfers));
    }

    [Fact]
    public void State_OfAssertedPin_InterruptsTheNextUserUntilAcknowledged()
    {
        using var source = new EduSlot();
        using var target = new EduSlot();
        source.Write32(0x60, 1);
        InterruptCapture pin = target.Bench.CaptureIntx();
        Move(source, target);
        Assert.Equal(1, pin.Take());
        target.Write32(0x64, 1);
        pin.Unmask();
        pin.ExpectNone();
    }

    [Fact]
    public void Work_UnderWay_EndsOnceAndAtTheTarget()
    {
        var time = new ManualTime();
        using var source = new EduSlot(new EduOptions { Delay = TimeSpan.FromSeconds(10), Time = time });
        using var target = new EduSlot();
        source.Write32(0x20, 0x80);
        source.Write32(0x08, 5);
        source.StartTransfer(Iova, Buffer, 4, Interrupt);
        Assert.True(SpinWait.SpinUntil(() => time.Timers == 2, TimeSpan.FromMinutes(2)));
        target.Map(Iova);
        target.Memory.Write(0, [1, 2, 3, 4]);
        InterruptCapture interrupt = target.Bench.CaptureMsi();

        Move(source, target);

        // The source's time is over too late: it is stopped.
        time.Advance(TimeSpan.FromSeconds(10));
        target.WaitForFactorial();
        target.WaitForTransfer();
        Assert.Equal((120u, 0x04030201u, 0x101u), (target.Read32(0x08), target.Read32(Buffer), target.Read32(0x24)));
        Assert.Equal((1L, 1L, 2L), (target.Edu.Factorials, target.Edu.Transfers, target.Edu.InterruptsRaised));
        Assert.Equal(2, interrupt.Take());
        Assert.Equal((0L, 0L, 0L), (source.Edu.Factorials, source.Edu.Transfers, source.Edu.InterruptsRaised));
        Assert.Equal((0x81u, 5u), (source.Read32(0x20), source.Read32(0x08)));
    }

    [Fact]
    public void Work_UnderWayWhenStopped_GoesOnWhereTheMigrationIsGivenUp()
    {
        var time = new ManualTime();
        using var slot = new EduSlot(new EduOptions { Delay = TimeSpan.FromSeconds(10), Time = time });
        slot.Write32(0x08, 5);
        Assert.True(SpinWait.SpinUntil(() => time.Timers == 1, TimeSpan.FromMinutes(2)));
        using (slot.File.SetMigrationState(MigrationState.StopCopy))
        {
            time.Advance(TimeSpan.FromSeconds(10));
            Assert.Equal(1u, slot.Read32(0x20));
        }

        slot.File.SetMigrationState(MigrationState.Running);
        slot.WaitForFactorial();
        Assert.Equal((120u, 1L), (slot.Read32(0x08), slot.Edu.Factorials));
    }

    /// <summary>Stopped and let go at any moment, the device does each thing that its driver asks for once.</summary>
    [Fact]
    public async Task StopAndGo_WhileADriverWorks_EachTransferEndsOnceWithOneInterrupt()
    {
        const int Transfers = 2000;
        using var slot = new EduSlot();
        slot.Map(Iova);
        InterruptCapture interrupt = slot.Bench.CaptureMsi();
        int stops = 0;
        int transfers = 0;
        var driver = Task.Factory.StartNew(
            () =>
            {
                // On a busy machine all of them could be over before the first stop.
                for (int i = 0; i < Transfers || Volatile.Read(ref stops) < 2; i++)
                {
                    transfers++;
                    slot.Memory.Write(0, BitConverter.GetBytes(i));
                    slot.StartTransfer(Iova, Buffer, 4, Interrupt);
                    Assert.Equal(1, interrupt.WaitFor());
                    Assert.Equal((uint)i, slot.Read32(Buffer));
                    slot.Write32(0x64, 0x100);
                }
            },
            TaskCreationOptions.LongRunning);
        while (!driver.IsCompleted)
        {
            slot.File.SetMigrationState(stops % 2 == 0 ? MigrationState.Stop : MigrationState.StopCopy)?.Dispose();
            slot.File.SetMigrationState(MigrationState.Running);
            Volatile.Write(ref stops, stops + 1);
        }

        await driver;
        Assert.Equal((transfers, 0L), (slot.Edu.Transfers, slot.Edu.FailedTransfers));
    }

    [Fact]
    public void Transfer_ByMessageUnderWay_EndsOnceAtTheTarget()
    {
        using var source = new EduSlot();
        using var target = new EduSlot();
        using var asked = new ManualResetEventSlim();
        using var answer = new ManualResetEventSlim();
        source.Bench.Map(Iova, 4096, kind: TestMemoryKind.Message).Channel!.Meanwhile = () =>
        {
            asked.Set();
            answer.Wait(TimeSpan.FromMinutes(2));
        };
        target.Map(Iova);
        target.Memory.Write(0, [1, 2, 3, 4]);
        source.StartTransfer(Iova, Buffer, 4, Interrupt);
        Assert.True(asked.Wait(TimeSpan.FromMinutes(2)));

        Move(source, target);
        answer.Set();
        target.WaitForTransfer();
        Assert.Equal((0x04030201u, 0x100u, 1L, 1L), (target.Read32(Buffer), target.Read32(0x24), target.Edu.Transfers, target.Edu.InterruptsRaised));
        Assert.Equal((1u, 0L, 0L), (source.Read32(0x98) & 1, source.Edu.Transfers, source.Edu.InterruptsRaised));
    }

    [Fact]
    public void State_OfADeviceWithOtherAddressBits_IsRefusedWithTheRemedy()
    {
        using var source = new EduSlot(new EduOptions { DmaBits = 40 });
        using var target = new EduSlot();
        var error = Assert.Throws<VfioException>(() => Move(source, target));
        Assert.Equal(Errno.EINVAL, error.Errno);
        Assert.Contains("40 address bits and this one's 28", error.Message, StringComparison.Ordinal);
        Assert.Equal(MigrationState.Error, target.File.GetMigrationState());
        target.File.Reset();
    }

    private static void Move(EduSlot source, EduSlot target) => source.Bench.MigrateTo(target.Bench);
}
