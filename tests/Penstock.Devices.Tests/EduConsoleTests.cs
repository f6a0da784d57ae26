namespace Penstock.Devices.Tests;

public sealed class EduConsoleTests : IDisposable
{
    private readonly EduSlot _slot = new();
    private readonly EduConsole _console;

    public EduConsoleTests() => _console = new EduConsole(_slot.Edu);

    public void Dispose() => _slot.Dispose();

    [Fact]
    public void Get_ShowsWhatWasDoneAndWhatFailed()
    {
        _slot.Write32(0x08, 3);
        _slot.WaitForFactorial();
        _slot.Transfer(0x40000, 0x1000, 16, 2);
        _slot.Write32(0x60, 1);
        _slot.Read(0, 1);
        Assert.Equal(
            """
            factorials 1
            interrupts 1
            transfers  0, 0 bytes
            failed     1, the last: DMA of 16 bytes from 0x40000 to memory at 0x1000 failed: nothing is mapped there
            refused    1 accesses
            """.ReplaceLineEndings("\n"),
            _console.Execute("get").Text.ReplaceLineEndings("\n"));
    }

    [Fact]
    public void Notice_TellsATransferThatFailed()
    {
        string? seen = null;
        using var told = new ManualResetEventSlim();
        _console.Notice += line =>
        {
            seen = line;
            told.Set();
        };
        _slot.Transfer(0x1000, 0x40000, 16, 0);
        Assert.True(told.Wait(TimeSpan.FromMinutes(2)));
        Assert.Equal("DMA of 16 bytes from memory at 0x1000 to 0x40000 failed: nothing is mapped there", seen);
    }

    [Theory]
    [InlineData("get 1", "get: takes nothing after it")]
    [InlineData("raise", "raise: no such command; try get or help")]
    public void Execute_BadLine_IsOneClearLine(string line, string expected) => Assert.Equal(DeviceReply.Wrong(expected), _console.Execute(line));

    [Fact]
    public void Help_NamesEveryCommand() =>
        Assert.All(["get", "help"], command => Assert.Contains(command, _console.Execute("help").Text, StringComparison.Ordinal));

    [Theory]
    [InlineData("dma-mask", "11", "allowed are 12 to 64")]
    [InlineData("dma-mask", "65", "allowed are 12 to 64")]
    [InlineData("delay", "60001", "allowed are 0 to 60000")]
    public void Catalog_BadOption_IsRefused(string option, string value, string expected)
    {
        var error = Assert.Throws<Penstock.Vfio.VfioException>(
            () => DeviceCatalog.BuiltIn.Create("edu", new Dictionary<string, string> { [option] = value }));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}
