using Penstock.Interop;
using Penstock.Pci;

namespace Penstock.Devices.Tests;

public sealed class Idio16FunctionTests : IDisposable
{
    private const ulong Status = 6;
    private readonly Idio16Slot _slot = new();

    private Idio16Function Card => _slot.Card;

    public void Dispose() => _slot.Dispose();

    [Fact]
    public void Description_IsTheCard_ThatLinuxBindsTo()
    {
        var facts = Card.Description;
        Assert.Equal((0x494F, 0x0DC8, 1), (facts.VendorId, facts.DeviceId, facts.InterruptPin));
        Assert.Equal(new PciBar(2, PciBarKind.Io, 8), Assert.Single(facts.Bars));
    }

    [Fact]
    public void Outputs_DrivenByLinux_ShowOutside()
    {
        var driver = new LinuxIdio16Driver(_slot);
        driver.Probe();
        driver.SetMultiple(0xFFFF, 0xA55A);
        Assert.Equal(0xA55A, Card.Outputs);
        driver.SetMultiple(1 << 9, 1 << 9);
        driver.SetMultiple(1 << 1, 0);
        Assert.Equal(0xA758, Card.Outputs);
        Assert.True(Card.GetOutput(9));
        Assert.False(Card.GetOutput(1));
        Assert.Equal((0x58, 0xA7), (_slot.In(0), _slot.In(4)));
    }

    [Fact]
    public void Inputs_SetOutside_AreReadByLinuxAt16Plus()
    {
        var driver = new LinuxIdio16Driver(_slot);
        driver.Probe();
        for (int line = 0; line < Idio16Function.InputCount; line++)
        {
            Card.SetInput(line, true);
            for (int other = 0; other < Idio16Function.InputCount; other++)
            {
                Assert.Equal(other == line, driver.Get(16 + other));
            }

            Card.SetInput(line, false);
        }
    }

    [Fact]
    public void Interrupt_EachChangeWhileRequested_IsHandledOnce()
    {
        var driver = new LinuxIdio16Driver(_slot);
        driver.Probe();
        Card.SetInput(3, true);
        driver.Service();
        Assert.Equal((0, 0L), (driver.Handled, Card.InterruptsRaised));

        driver.RequestInterrupt();
        driver.Service();
        Assert.Equal(0, driver.Handled);
        Card.SetInput(3, false);
        driver.Service();
        Card.SetInput(3, true);
        driver.Service();
        Card.SetInput(3, true);
        driver.Service();
        Assert.Equal((2, 2L, 3L), (driver.Handled, Card.InterruptsRaised, Card.ChangeEvents));

        driver.FreeInterrupt();
        Card.SetInput(3, false);
        driver.Service();
        Assert.Equal((2, 2L, 4L), (driver.Handled, Card.InterruptsRaised, Card.ChangeEvents));
        Assert.Equal([true, false, true, false], _slot.Port.Levels);
    }

    [Fact]
    public void Interrupt_SeveralChangesBeforeTheClear_RaiseThePinOnce()
    {
        _slot.In(2);
        Card.SetInput(0, true);
        Card.SetInput(8, true);
        Card.SetInput(0, false);
        Assert.Equal([true], _slot.Port.Levels);
        Assert.Equal((1L, 3L), (Card.InterruptsRaised, Card.ChangeEvents));
        Assert.Equal(0b111, _slot.In(Status));
        _slot.Out(1, 0);
        Assert.Equal(0, _slot.In(Status));
        Assert.False(_slot.Port.Pin);
    }

    [Theory]
    [InlineData(7, 0b101)]
    [InlineData(8, 0b110)]
    public void Status_TellsTheHalf_ThatOldDriversWant(int line, byte expected)
    {
        _slot.In(2);
        Card.SetInput(line, true);
        Assert.Equal(expected, _slot.In(Status));
    }

    [Fact]
    public void Disable_WithAnInterruptPending_LowersThePinAndKeepsIt()
    {
        _slot.In(2);
        Card.SetInput(5, true);
        _slot.Out(2, 0xFF);
        Assert.False(_slot.Port.Pin);
        Assert.NotEqual(0, _slot.In(Status));
        _slot.In(2);
        Assert.True(_slot.Port.Pin);
        Assert.Equal(2, Card.InterruptsRaised);
        _slot.Out(2, 0);
        _slot.Out(1, 0);
        _slot.In(2);
        Assert.False(_slot.Port.Pin);
    }

    [Fact]
    public void Clear_KeepsInterruptsEnabled()
    {
        _slot.In(2);
        Card.SetInput(1, true);
        _slot.Out(1, 0xFF);
        Card.SetInput(1, false);
        Assert.True(_slot.Port.Pin);
        Assert.Equal(2, Card.InterruptsRaised);
    }

    [Fact]
    public void Filters_AllAndSingle_ReadBackAtPort7()
    {
        _slot.Out(7, 0x0F);
        Assert.Equal(0x0F, _slot.In(7));
        _slot.In(3);
        Assert.Equal(0xFF, _slot.In(7));
        _slot.Out(3, 0);
        Assert.Equal(0, _slot.In(7));
    }

    [Fact]
    public void WideAccess_ActsOnEachPort()
    {
        Span<byte> four = stackalloc byte[4];
        Card.SetInput(9, true);
        Assert.Equal(Errno.None, Card.ReadBar(2, 4, four));
        Assert.Equal([0, 2, 0, 0], four.ToArray());
        Assert.Equal(Errno.None, Card.WriteBar(2, 4, [0x77, 0, 0, 0x11]));
        Assert.Equal(0x7700, Card.Outputs);
        Assert.Equal(0x11, _slot.In(7));
    }

    [Fact]
    public void Access_OutsideTheBar_IsRefused()
    {
        Assert.Equal(Errno.EINVAL, Card.ReadBar(2, 8, new byte[1]));
        Assert.Equal(Errno.EINVAL, Card.ReadBar(2, ulong.MaxValue, new byte[2]));
        Assert.Equal(Errno.EINVAL, Card.WriteBar(2, 6, new byte[4]));
        Assert.Equal(Errno.EINVAL, Card.WriteBar(0, 0, new byte[1]));
    }

    [Fact]
    public void Reset_ReturnsToTheStart_AndKeepsTheInputs()
    {
        _slot.Out(0, 0xFF);
        _slot.Out(7, 0xFF);
        _slot.In(3);
        _slot.In(2);
        Card.SetInput(15, true);
        _slot.Reset();
        Assert.False(_slot.Port.Pin);
        Assert.Equal((0, 0, 0, 0), (_slot.In(0), _slot.In(Status), _slot.In(7), Card.Outputs));
        Assert.Equal((0x80, 0x8000), (_slot.In(5), Card.Inputs));
        Card.SetInput(15, false);
        Assert.False(_slot.Port.Pin);
    }

    [Fact]
    public void SetInput_BeforeTheCardIsPluggedIn_IsTheLevelThatTheGuestFinds()
    {
        var card = new Idio16Function(0x0001);
        card.SetInput(15, true);
        using var port = new RecordingPort();
        card.Attach(port);
        Assert.Equal(0x8001, card.Inputs);
        Assert.Empty(port.Levels);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(16)]
    public void Lines_OutOfRange_AreRefused(int line)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Card.SetInput(line, true));
        Assert.Throws<ArgumentOutOfRangeException>(() => Card.GetOutput(line));
    }

    [Fact]
    public async Task SetInput_FromManyThreadsBesideRegisterAccess_CountsEveryChange()
    {
        const int Rounds = 2000;
        var driver = new LinuxIdio16Driver(_slot);
        driver.Probe();
        driver.RequestInterrupt();
        Task[] outside = [.. Enumerable.Range(0, 4).Select(line => Task.Run(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                Card.SetInput(line, i % 2 == 0);
            }
        }))];
        var all = Task.WhenAll(outside);
        while (!all.IsCompleted)
        {
            driver.Service();
            driver.SetMultiple(0xFF, (ushort)(Card.Outputs + 1));
        }

        await all;
        driver.Service();
        Assert.Equal(4L * Rounds, Card.ChangeEvents);
        Assert.Equal(0, Card.Inputs);
        Assert.False(_slot.Port.Pin);
        Assert.Equal(0, _slot.Port.OffStrand);
        Assert.Equal(Card.InterruptsRaised, driver.Handled);
        Assert.Equal(Card.InterruptsRaised, _slot.Port.Levels.Count(level => level));
        Assert.All(_slot.Port.Levels.Index(), change => Assert.Equal(change.Index % 2 == 0, change.Item));
    }

    [Fact]
    public void RegisterAccess_AllocatesNothing()
    {
        byte[] data = new byte[1];
        Assert.Equal(0, AllocatedBytes.In(7, i =>
        {
            Card.ReadBar(2, (ulong)i + 1, data);
            Card.WriteBar(2, (ulong)i + 1, data);
        }));
    }
}
