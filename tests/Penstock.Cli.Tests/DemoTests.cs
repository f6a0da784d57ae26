namespace Penstock.Cli.Tests;

public sealed class DemoTests
{
    private static readonly string[] Steps =
        ["serve", "connect", "identify", "outputs", "inputs", "interrupts", "memory", "timing", "reset", "leave"];

    [Fact]
    public async Task Demo_WithoutArguments_ShowsEveryStep()
    {
        ToolResult result = await ToolProcess.RunAsync("demo");

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        IEnumerable<string> shown = result.Output.Where(l => l.StartsWith("  ", StringComparison.Ordinal)).Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]);
        Assert.Equal(Steps, shown);
        Assert.StartsWith("10 steps verified in ", result.Output[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Demo_AsJson_EveryLineIsAnObjectAndTheLastSaysDone()
    {
        ToolResult result = await ToolProcess.RunAsync("demo", "idio16", "--json");

        Assert.Equal(0, result.Status);
        Assert.Equal(Steps, result.Objects[..^1].Select(o => o.GetProperty("step").GetString()));
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("ok").GetBoolean()));
        Assert.Equal("done", result.Objects[^1].GetProperty("event").GetString());
    }

    [Fact]
    public async Task Demo_LeavesNoFolderBehind()
    {
        ToolResult result = await ToolProcess.RunAsync("demo", "--json");

        string path = result.Objects[0].GetProperty("what").GetString()!.Split(' ')[^1];
        Assert.False(Directory.Exists(Path.GetDirectoryName(path)));
    }

    [Fact]
    public async Task GuestDemo_QemuThatIsNotThere_IsNamedInOneLine()
    {
        using var folder = new TemporaryFolder();
        var environment = new Dictionary<string, string?>
        {
            ["PENSTOCK_LAB"] = folder.Path,
            ["PENSTOCK_QEMU"] = folder.File("no-such-qemu"),
        };
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(Repository.Program, ["demo", "--guest", "x86_64"], environment));

        Assert.Equal(1, result.Status);
        Assert.Contains("no-such-qemu", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task GuestDemo_QemuTooOld_NamesItItsVersionAndTheOneNeeded()
    {
        using var folder = new TemporaryFolder();
        string qemu = folder.File("qemu-system-x86_64");
        await File.WriteAllTextAsync(qemu, "#!/bin/sh\necho 'QEMU emulator version 7.2.0'\n");
        File.SetUnixFileMode(qemu, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var environment = new Dictionary<string, string?> { ["PENSTOCK_LAB"] = folder.Path, ["PENSTOCK_QEMU"] = qemu };
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(Repository.Program, ["demo", "--guest", "x86_64"], environment));

        Assert.Equal(1, result.Status);
        string error = Assert.Single(result.Errors);
        Assert.All([qemu, "7.2", "11"], text => Assert.Contains(text, error, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(ToolProcess.Interrupt)]
    [InlineData(ToolProcess.Terminate)]
    [InlineData(ToolProcess.HangUp)]
    public async Task GuestDemo_SignalWhileTheGuestBoots_LeavesNoProcessAndNoFolder(int signal)
    {
        using var folder = new TemporaryFolder();
        string temporary = Directory.CreateDirectory(folder.File("tmp")).FullName;
        string qemu = folder.File("qemu-system-x86_64");
        await File.WriteAllTextAsync(
            qemu, $"#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'QEMU emulator version 11.1.0'; exit; }}\necho $$ > '{folder.File("pid")}'\nexec /bin/sleep 600\n");
        File.SetUnixFileMode(qemu, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var environment = new Dictionary<string, string?>
        {
            ["PENSTOCK_LAB"] = folder.File("lab"),
            ["PENSTOCK_QEMU"] = qemu,
            ["PENSTOCK_KERNEL"] = qemu,
            ["PENSTOCK_BUSYBOX"] = qemu,
            ["TMPDIR"] = temporary,
            // Nothing to fetch with, so the guest goes without lspci.
            ["PATH"] = temporary,
        };
        using var tool = new ToolProcess(Repository.Program, ["demo", "--guest", "x86_64"], environment);
        await tool.ErrorLineAsync("booting the guest");
        Assert.True(SpinWait.SpinUntil(() => new FileInfo(folder.File("pid")) is { Exists: true, Length: > 0 }, ToolProcess.Patience));
        tool.Signal(signal);

        ToolResult result = await tool.EndAsync();
        Assert.Equal(1, result.Status);
        Assert.Equal("penstock demo: interrupted", Assert.Single(result.Errors));
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary));
        Assert.NotEqual(0, ToolProcess.Kill(int.Parse(await File.ReadAllTextAsync(folder.File("pid")), System.Globalization.CultureInfo.InvariantCulture), 0));
    }
}
