using System.Collections.Concurrent;

namespace Penstock.Devices.Tests;

public sealed class Idio16ConsoleTests : IDisposable
{
    private readonly Idio16Slot _slot = new();
    private readonly Idio16Console _console;

    public Idio16ConsoleTests() => _console = new Idio16Console(_slot.Card);

    public void Dispose() => _slot.Dispose();

    [Fact]
    public void Set_DrivesTheInput()
    {
        Assert.Equal(DeviceReply.Done("in 3 1"), _console.Execute(" set  3 1 "));
        Assert.Equal(0b1000, _slot.Card.Inputs);
        Assert.Equal(DeviceReply.Done("in 3 0"), _console.Execute("set 3 0"));
        Assert.Equal(0, _slot.Card.Inputs);
    }

    [Fact]
    public void Get_ShowsBothSides()
    {
        _slot.Out(4, 0xAB);
        _console.Execute("set 0 1");
        var reply = _console.Execute("get");
        Assert.Equal("outputs 0xab00\ninputs  0x0001\ninterrupts 0", reply.Text.ReplaceLineEndings("\n"));
    }

    [Theory]
    [InlineData("set", "set LINE 0|1")]
    [InlineData("set 1", "set LINE 0|1")]
    [InlineData("set 1 1 1", "set LINE 0|1")]
    [InlineData("set 16 1", "'16' is not an input line; lines are 0 to 15")]
    [InlineData("set -1 1", "'-1' is not an input line")]
    [InlineData("set x 1", "'x' is not an input line")]
    [InlineData("set 1 2", "'2' is not a level; give 0 or 1")]
    [InlineData("get 1", "get: takes nothing after it")]
    [InlineData("SET 1 1", "no such command; try set, get or help")]
    public void Execute_BadLine_IsOneClearLineAndChangesNothing(string line, string expected)
    {
        var reply = _console.Execute(line);
        Assert.False(reply.Succeeded);
        Assert.Contains(expected, reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', reply.Text);
        Assert.Equal((0, 0L), (_slot.Card.Inputs, _slot.Card.ChangeEvents));
    }

    [Fact]
    public void Execute_EmptyLine_DoesNothing() => Assert.Equal(DeviceReply.Done(), _console.Execute("  "));

    [Fact]
    public void Help_NamesEveryCommand()
    {
        var help = _console.Execute("help").Text;
        Assert.All(["set LINE 0|1", "get", "help"], command => Assert.Contains(command, help, StringComparison.Ordinal));
    }

    [Fact]
    public void Notice_TellsOutputChanges()
    {
        using var seen = new BlockingCollection<string>();
        _console.Notice += seen.Add;
        _slot.Out(0, 0b10);
        Assert.True(seen.TryTake(out var text, TimeSpan.FromMinutes(2)));
        Assert.Equal("out 1 1", text);
    }
}
