using Penstock.Interop;
using Penstock.Specs.Idio16;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>A bank of lines as several cards.</summary>
public sealed class GpioMdevTests : IDisposable
{
    private const uint Ports = VfioRegions.Bar0 + Idio16Registers.BarIndex;
    private static readonly Caller User = new(1000, RawIo: false, LockMemory: false, ulong.MaxValue);

    private readonly VfioHost _host = new();
    private readonly GpioBank _bank = new(2, inputs: 0x0100);
    private readonly GpioMdevConsole _console;
    private readonly MdevType _type = GpioMdevDriver.CreateType();
    private readonly MdevParent _parent;

    public GpioMdevTests()
    {
        _console = new GpioMdevConsole(_bank);
        _parent = _host.RegisterMdevParent("gpio-bank", new GpioMdevDriver(_bank), _type);
    }

    public void Dispose()
    {
        _parent.Unregister();
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    [Trait("Row", "S1-12")]
    public void TwoCards_OfOneBank_AreSeparateAndCounted()
    {
        MdevDevice first = _type.Create(Guid.NewGuid());
        MdevDevice second = _type.Create(Guid.NewGuid());
        Assert.Equal(Errno.EUSERS, Assert.Throws<VfioException>(() => _type.Create(Guid.NewGuid())).Errno);
        Assert.Equal([first, second], Enumerable.Range(0, 2).Select(_bank.OwnerOf));
        using (VfioDeviceFile a = Open(first))
        using (VfioDeviceFile b = Open(second))
        {
            Write(a, Idio16Registers.OutputsLow, 0x21);
            Write(b, Idio16Registers.OutputsHigh, 0x43);
            Assert.Equal((0x0021, 0x4300), (_bank.OutputsOf(0), _bank.OutputsOf(1)));
            _bank.SetInput(1, 0, true);
            Assert.Equal((0, 1), (Read(a, Idio16Registers.InputsLowClearInterrupt), Read(b, Idio16Registers.InputsLowClearInterrupt)));
            Assert.Equal((1, 1), (Read(a, Idio16Registers.InputsHigh), Read(b, Idio16Registers.InputsHigh)));
        }

        // What a user leaves is taken back at close; what the outside drives stays, for the next card too.
        Assert.Equal(0, _bank.OutputsOf(1));
        second.Remove();
        Assert.Null(_bank.CardOf(1));
        Assert.Equal(1, _type.AvailableInstances);
        _bank.SetInput(1, 1, true);
        using VfioDeviceFile again = Open(_type.Create(Guid.NewGuid()));
        Assert.Equal(3, Read(again, Idio16Registers.InputsLowClearInterrupt));
    }

    [Fact]
    public async Task SetInput_StrandOfOneCardIsBusy_OtherCardsGoOn()
    {
        using VfioDeviceFile a = Open(_type.Create(Guid.NewGuid()));
        using VfioDeviceFile b = Open(_type.Create(Guid.NewGuid()));
        using var busy = new ManualResetEventSlim();
        using var end = new ManualResetEventSlim();
        Task holder = Long(() => _bank.CardOf(0)!.Strand!.RunOn(() =>
        {
            busy.Set();
            end.Wait();
        }));
        busy.Wait();
        Task waits = Long(() => _bank.SetInput(0, 0, true));
        Assert.True(SpinWait.SpinUntil(() => _bank.InputsOf(0) == 0x0101, TimeSpan.FromMinutes(2)));
        Task other = Long(() => _bank.SetInput(1, 1, true));
        await other.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Equal(2, Read(b, Idio16Registers.InputsLowClearInterrupt));
        Assert.False(waits.IsCompleted);
        end.Set();
        await Task.WhenAll(holder, waits).WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Equal(1, Read(a, Idio16Registers.InputsLowClearInterrupt));
    }

    [Fact]
    public async Task Console_CommandsAndNotices_NameTheCard()
    {
        var notices = System.Threading.Channels.Channel.CreateUnbounded<string>();
        _console.Notice += line => notices.Writer.TryWrite(line);
        _type.Create(Guid.NewGuid());
        using VfioDeviceFile b = Open(_type.Create(Guid.NewGuid()));
        Write(b, Idio16Registers.OutputsLow, 0x20);
        Assert.Equal("out 1 5 1", await notices.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(2)));
        Assert.Equal(DeviceReply.Done("in 1 3 1"), _console.Execute("set 1 3 1"));
        Assert.Equal(
            "card 0 outputs 0x0000 inputs 0x0100 interrupts 0\ncard 1 outputs 0x0020 inputs 0x0108 interrupts 0",
            _console.Execute("get").Text);
        Assert.Equal("card 1 outputs 0x0020 inputs 0x0108 interrupts 0", _console.Execute("get 1").Text);
        Assert.True(_console.Execute("").Succeeded);
        Assert.Contains("set CARD LINE", _console.Execute("help").Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("set 2 0 1", "set: '2' is not a card; cards are 0 to 1")]
    [InlineData("set 0 16 1", "set: '16' is not an input line; lines are 0 to 15")]
    [InlineData("set 0 0 2", "set: '2' is not a level; give 0 or 1")]
    [InlineData("set 0 0", "set: takes a card, a line and a level: set CARD LINE 0|1")]
    [InlineData("get x", "get: 'x' is not a card; cards are 0 to 1")]
    [InlineData("get 0 1", "get: takes one card or nothing after it")]
    [InlineData("help me", "help: takes nothing after it")]
    [InlineData("bogus", "bogus: no such command; try set, get or help")]
    public void Console_BadLine_SaysWhatIsRight(string line, string expected) =>
        Assert.Equal(DeviceReply.Wrong(expected), _console.Execute(line));

    private static Task Long(Action work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static int Read(VfioDeviceFile file, ulong port)
    {
        byte[] data = new byte[1];
        Assert.Equal(Errno.None, file.Read(Ports, port, data, out _));
        return data[0];
    }

    private static void Write(VfioDeviceFile file, ulong port, byte value) => Assert.Equal(Errno.None, file.Write(Ports, port, [value], out _));

    private VfioDeviceFile Open(MdevDevice mdev)
    {
        using VfioContainer container = _host.OpenContainer(User);
        using VfioGroup group = _host.OpenGroup(mdev.Device!.Group!.Number, User);
        group.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        VfioDeviceFile file = group.OpenDevice(mdev.Name);
        Assert.Equal(Errno.None, file.Write(VfioRegions.Config, 4, [1, 0], out _));
        return file;
    }
}
