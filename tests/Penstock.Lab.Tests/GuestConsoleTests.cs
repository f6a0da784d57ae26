namespace Penstock.Lab.Tests;

public sealed class GuestConsoleTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private readonly List<string> _lines = [];
    private readonly GuestConsole _console;

    public GuestConsoleTests() => _console = new GuestConsole(_lines.Add);

    public void Dispose() => _console.Dispose();

    private Task<string> WaitAsync(string text, TimeSpan? timeout = null) =>
        _console.WaitForLineAsync(text, l => l.Contains(text, StringComparison.Ordinal), timeout ?? Limit, CancellationToken.None);

    [Fact]
    public async Task WaitForLine_SameTextTwice_NeedsTwoLines()
    {
        _console.Take("ready 1\r\nother\r\nrea");
        Assert.Equal("ready 1", await WaitAsync("ready"));
        var second = WaitAsync("ready");
        Assert.False(second.IsCompleted);
        _console.Take("dy 2\r\n");
        Assert.Equal("ready 2", await second);
        Assert.Equal(["ready 1", "other", "ready 2"], _lines);
        Assert.Equal("ready 1\nother\nready 2\n", _console.Text);
    }

    [Fact]
    public async Task WaitForLine_TimeOver_ShowsTheLastLines()
    {
        _console.Take("only this\n");
        var error = await Assert.ThrowsAsync<LabException>(() => WaitAsync("ready", TimeSpan.FromMilliseconds(20)));
        Assert.Contains("did not show ready", error.Message, StringComparison.Ordinal);
        Assert.Contains("only this", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Verdict_OfSeveralBoots_IsTheLast()
    {
        Assert.Null(_console.ExitStatus);
        _console.Take("penstock-lab: exit 4\n[ 1.0] noise penstock-lab: exit 125\n");
        Assert.Equal(125, _console.ExitStatus);
    }

    [Fact]
    public void Sink_ThatThrows_DoesNotStopTheConsole()
    {
        using var console = new GuestConsole(_ => throw new InvalidOperationException());
        console.Take("a\nb\n");
        Assert.Equal("a\nb\n", console.Text);
    }
}
