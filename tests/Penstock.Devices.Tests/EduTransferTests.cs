using System.Security.Cryptography;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>The DMA unit of the EDU device, to and from all kinds of memory, and everything that can go wrong with it.</summary>
public sealed class EduTransferTests : IDisposable
{
    private const ulong Buffer = 0x40000;
    private const ulong ToMemory = 2;
    private const ulong Interrupt = 4;
    private const ulong Iova = 0x100000;

    private readonly EduSlot _slot = new();

    public void Dispose() => _slot.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(4096)]
    public void Transfer_BothWays_MovesExactlyTheBytes(int count)
    {
        byte[] data = RandomNumberGenerator.GetBytes(count);
        _slot.Map(Iova);
        _slot.Memory.Write(0, data);
        _slot.Transfer(Iova, Buffer, (ulong)count, 0);
        _slot.Transfer(Buffer, Iova + 0x2000, (ulong)count, ToMemory);
        Assert.Equal(data, _slot.Memory.Read(0x2000, count));
        Assert.Equal(new byte[16], _slot.Memory.Read(0x2000 + (ulong)count, 16));
        Assert.Equal((2, 2L * count, 0), (_slot.Edu.Transfers, _slot.Edu.TransferredBytes, _slot.Edu.FailedTransfers));
        Assert.Equal(0, _slot.Edu.InterruptsRaised);
    }

    [Fact]
    public void Transfer_IntoTheMiddleOfTheBuffer_LeavesTheRest()
    {
        _slot.Map(Iova);
        _slot.Memory.Write(0, [1, 2, 3, 4]);
        _slot.Write64(Buffer + 8, ulong.MaxValue);
        _slot.Transfer(Iova, Buffer + 10, 4, 0);
        Assert.Equal(0xffff_0403_0201_ffffUL, _slot.Read64(Buffer + 8));
    }

    [Theory]
    [InlineData(VfioIrqs.Intx)]
    [InlineData(VfioIrqs.Msi)]
    public void Transfer_WithInterrupt_RaisesCause0x100(int index)
    {
        InterruptCapture interrupt = _slot.Bench.Capture(index);
        _slot.Map(Iova);
        _slot.StartTransfer(Iova, Buffer, 64, Interrupt);
        Assert.Equal(1, interrupt.WaitFor());
        Assert.Equal(0x100u, _slot.Read32(0x24));
        Assert.Equal(4u, _slot.Read32(0x98));
        _slot.Write32(0x64, 0x100);
        interrupt.ExpectNone();
    }

    [Fact]
    public void Transfer_MemoryByMessage_BothWays()
    {
        TestMemory memory = _slot.Bench.Map(Iova, 4096, kind: TestMemoryKind.Message);
        memory.FillRandom(1);
        byte[] data = memory.Read(0, 4096);
        _slot.Transfer(Iova, Buffer, 4096, 0);
        memory.Bytes.Clear();
        _slot.Transfer(Buffer, Iova, 4096, ToMemory);
        Assert.Equal(data, memory.Read(0, 4096));
        Assert.Equal((1, 1), (memory.Channel!.Reads, memory.Channel.Writes));
    }

    [Fact]
    public void Transfer_RegistersWrittenWhileAMessageIsUnderWay_AreKept()
    {
        TestMessageChannel channel = _slot.Bench.Map(Iova, 4096, kind: TestMemoryKind.Message).Channel!;
        channel.Meanwhile = () =>
        {
            _slot.Write64(0x80, 1);
            _slot.Write64(0x88, 2);
            _slot.Write64(0x90, 3);
            _slot.Write64(0x98, ToMemory | 1);
            Assert.Equal(1u, _slot.Read32(0x98));
        };
        _slot.Transfer(Iova, Buffer, 4096, 0);
        Assert.Equal([Iova, Buffer, 4096, 0], new ulong[] { 0x80, 0x88, 0x90, 0x98 }.Select(_slot.Read64));
        Assert.Equal((1, 0), (channel.Reads, channel.Writes));
        Assert.Equal(1, _slot.Edu.Transfers);
    }

    [Fact]
    public void Reset_WhileAMessageIsUnderWay_AbandonsTheTransfer()
    {
        TestMemory memory = _slot.Bench.Map(Iova, 4096, kind: TestMemoryKind.Message);
        TestMessageChannel channel = memory.Channel!;
        memory.Bytes[0] = 0xff;
        using var reset = new ManualResetEventSlim();
        channel.Meanwhile = () =>
        {
            _slot.File.Reset();
            reset.Set();
        };
        InterruptCapture interrupt = _slot.Bench.CaptureMsi();
        _slot.StartTransfer(Iova, Buffer, 4096, Interrupt);
        Assert.True(reset.Wait(TimeSpan.FromMinutes(2)));
        channel.Meanwhile = null;

        // One more transfer is after what is left of the first.
        _slot.Transfer(Buffer, Iova, 1, ToMemory);
        Assert.Equal((1, 0, 0), (_slot.Edu.Transfers, _slot.Edu.FailedTransfers, _slot.Edu.InterruptsRaised));
        Assert.Equal(0, memory.Bytes[0]);
        interrupt.ExpectNone();
    }

    [Theory]
    [InlineData(Errno.ETIMEDOUT)]
    [InlineData(Errno.ENOTCONN)]
    [InlineData(Errno.EIO)]
    public void Transfer_PeerThatDoesNotAnswer_IsToldAndEnds(Errno errno)
    {
        TestMemory memory = _slot.Bench.Map(Iova, 4096, kind: TestMemoryKind.Message);
        memory.Bytes.Fill(1);
        memory.Channel!.Answer = errno;
        _slot.Transfer(Iova, Buffer, 4096, 0);
        Assert.Contains(errno.ToString(), _slot.TakeNotice(), StringComparison.Ordinal);
        Assert.Equal(0UL, _slot.Read64(Buffer));
        Assert.Equal((0, 1), (_slot.Edu.Transfers, _slot.Edu.FailedTransfers));
    }

    [Fact]
    public void Transfer_ToReadOnlyMemory_IsRefusedAndTold()
    {
        _slot.Map(Iova, DmaAccess.Read);
        _slot.Memory.Write(0, [7, 7, 7, 7]);
        _slot.Transfer(Iova, Buffer, 4, 0);
        Assert.Equal(0x07070707u, _slot.Read32(Buffer));
        _slot.Write32(Buffer, 0x09090909);
        _slot.Transfer(Buffer, Iova, 4, ToMemory | Interrupt);
        Assert.Equal([7, 7, 7, 7], _slot.Memory.Read(0, 4));
        Assert.Contains("does not let devices write", _slot.TakeNotice(), StringComparison.Ordinal);

        // The driver sees the end of it, and its interrupt, all the same.
        Assert.Equal(0x100u, _slot.Read32(0x24));
        Assert.Equal((1, 1), (_slot.Edu.Transfers, _slot.Edu.FailedTransfers));
        Assert.Contains("4 bytes from 0x40000 to memory at 0x100000", _slot.Edu.LastFailure, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(ToMemory)]
    public void Transfer_WhereNothingIsMapped_IsTold(ulong direction)
    {
        _slot.Write64(Buffer, 5);
        _slot.Transfer(direction == 0 ? Iova : Buffer, direction == 0 ? Buffer : Iova, 8, direction);
        Assert.Contains("nothing is mapped there", _slot.TakeNotice(), StringComparison.Ordinal);
        Assert.Equal(5UL, _slot.Read64(Buffer));
    }

    [Fact]
    public void Transfer_OverTheEndOfAMapping_ChangesNothingInTheDevice()
    {
        _slot.Map(Iova);
        _slot.Memory.Write(EduSlot.MemorySize - 4, [1, 1, 1, 1]);
        _slot.Transfer(Iova + EduSlot.MemorySize - 4, Buffer, 8, 0);
        Assert.Contains("failed", _slot.TakeNotice(), StringComparison.Ordinal);
        Assert.Equal(0UL, _slot.Read64(Buffer));
    }

    [Fact]
    public void Transfer_WithBusMasterOff_IsTold()
    {
        _slot.Map(Iova);
        _slot.Bench.SetCommand(PciCommand.Memory);
        _slot.Transfer(Iova, Buffer, 8, 0);
        Assert.Contains("Bus Master is off", _slot.TakeNotice(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Buffer - 1, 1UL)]
    [InlineData(Buffer + 4096, 1UL)]
    [InlineData(Buffer, 4097UL)]
    [InlineData(Buffer + 4095, 2UL)]
    [InlineData(Buffer, ulong.MaxValue)]
    [InlineData(Buffer + 1, ulong.MaxValue)]
    [InlineData(0UL, 8UL)]
    [InlineData(ulong.MaxValue, 8UL)]
    [InlineData(Buffer + 4096, 0UL)]
    public void Transfer_OutsideTheBuffer_IsRefusedBothWays(ulong device, ulong count)
    {
        _slot.Map(Iova);
        _slot.Transfer(Iova, device, count, 0);
        Assert.Contains("outside the buffer", _slot.TakeNotice(), StringComparison.Ordinal);
        _slot.Transfer(device, Iova, count, ToMemory);
        Assert.Contains("outside the buffer", _slot.TakeNotice(), StringComparison.Ordinal);
        Assert.Equal((0, 2), (_slot.Edu.Transfers, _slot.Edu.FailedTransfers));
    }

    [Fact]
    public void Transfer_OfNothing_IsDone()
    {
        _slot.Transfer(Iova, Buffer, 0, 0);
        Assert.Equal((1, 0), (_slot.Edu.Transfers, _slot.Edu.FailedTransfers));
    }

    [Fact]
    public void Address_Above28Bits_IsCutAndTold()
    {
        _slot.Map(Iova);
        _slot.Memory.Write(0, [1, 2, 3, 4]);
        _slot.Transfer(0xf000_0000_1000_0000 | Iova, Buffer, 4, 0);
        Assert.Contains("it uses 0x100000", _slot.TakeNotice(), StringComparison.Ordinal);
        Assert.Equal(0x04030201u, _slot.Read32(Buffer));
    }

    [Fact]
    public void Transfer_PastTheLastAddress_IsRefused()
    {
        _slot.Map(0xfff_0000);
        _slot.Transfer(0xfff_ffff, Buffer, 1, 0);
        Assert.Equal(1, _slot.Edu.Transfers);
        _slot.Transfer(0xfff_ffff, Buffer, 2, 0);
        Assert.Contains("past the device's last address", _slot.TakeNotice(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(32, 0xffff_0000UL)]
    [InlineData(64, 0xffff_ffff_fff0_0000UL)]
    public void WiderMask_ReachesHigherMemory(int bits, ulong iova)
    {
        using var slot = new EduSlot(new EduOptions { DmaBits = bits });
        slot.Map(iova, size: 0x10000);
        slot.Memory.Write(0xfff8, [1, 2, 3, 4, 5, 6, 7, 8]);
        slot.Transfer(iova + 0xfff8, Buffer, 8, 0);
        Assert.Equal(0x0807060504030201UL, slot.Read64(Buffer));
        Assert.Empty(slot.Notices);
    }

    [Fact]
    public void Delay_TransferAndFactorial_AreUnderWayUntilTheTimeIsOver()
    {
        var time = new ManualTime();
        using var slot = new EduSlot(new EduOptions { Delay = TimeSpan.FromSeconds(100), Time = time });
        slot.Map(Iova);
        slot.Memory.Write(0, [1, 2, 3, 4]);
        slot.StartTransfer(Iova, Buffer, 4, 0);
        slot.Write32(0x08, 5);
        Assert.True(SpinWait.SpinUntil(() => time.Timers == 2, TimeSpan.FromMinutes(2)));
        slot.Write32(0x08, 7);
        slot.Write64(0x90, 1);
        Assert.Equal((1u, 1u, 5u, 0u), (slot.Read32(0x20), slot.Read32(0x98), slot.Read32(0x08), slot.Read32(Buffer)));
        time.Advance(TimeSpan.FromSeconds(100));
        slot.WaitForTransfer();
        slot.WaitForFactorial();
        Assert.Equal((120u, 0x04030201u), (slot.Read32(0x08), slot.Read32(Buffer)));
        Assert.Equal((1, 1), (slot.Edu.Transfers, slot.Edu.Factorials));
    }

    [Fact]
    public void Delay_ResetAndStartAnew_OnlyTheSecondIsDone()
    {
        var time = new ManualTime();
        using var slot = new EduSlot(new EduOptions { Delay = TimeSpan.FromSeconds(100), Time = time });
        slot.Write32(0x08, 5);
        Assert.True(SpinWait.SpinUntil(() => time.Timers == 1, TimeSpan.FromMinutes(2)));
        time.Advance(TimeSpan.FromSeconds(60));
        slot.File.Reset();

        // No timer is left behind, however often somebody does this.
        Assert.Equal(0, time.Timers);
        slot.Write32(0x08, 6);
        Assert.True(SpinWait.SpinUntil(() => time.Timers == 1, TimeSpan.FromMinutes(2)));
        time.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal(1u, slot.Read32(0x20));
        time.Advance(TimeSpan.FromSeconds(60));
        slot.WaitForFactorial();
        Assert.Equal(720u, slot.Read32(0x08));
        Assert.Equal(1, slot.Edu.Factorials);
    }

    /// <summary>Whatever a driver does, nothing may be thrown, and the device answers the next one.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void HostileUser_AnyAccesses_DeviceStaysUsable(int seed) => HostileUser.Attack(
        () => new EduFunction(),
        new HostileUserOptions
        {
            Seed = seed,
            Steps = 10_000,
            Registers = [0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98, Buffer, Buffer + 4088],
            Values = [1, 3, 5, 7, Buffer, Buffer + 4095, 4096, 64],
            Check = bench =>
            {
                TestMemory memory = bench.Map(Iova, 4096);
                memory.Write(0, [1, 2, 3, 4]);
                bench.Bar(0).Write64(0x80, Iova);
                bench.Bar(0).Write64(0x88, Buffer);
                bench.Bar(0).Write64(0x90, 4);
                bench.Bar(0).Write64(0x98, 1);
                bench.WaitUntil(() => (bench.Bar(0).Read32(0x98) & 1) == 0, "the transfer does not end");
                Assert.Equal(0x04030201u, bench.Bar(0).Read32(Buffer));
            },
        }).ThrowIfFailed();
}
