using Penstock.Lab.Tests;

namespace Penstock.Cli.Tests;

public sealed class DemoTests
{
    private static readonly string[] CardSteps =
        ["serve", "connect", "identify", "outputs", "inputs", "interrupts", "memory", "timing", "reset", "leave"];

    private static readonly string[] GuestSteps = ["lab", "boot", "lspci", "outputs", "inputs", "interrupts", "leave"];

    private static readonly string[] EduSteps =
        ["serve", "connect", "identify", "registers", "factorial", "interrupts", "dma", "read-only", "unmapped", "migrate", "reset", "leave"];

    private static readonly string[] DiskSteps =
        ["serve", "connect", "disk", "queues", "data", "interrupts", "flush", "zeroes", "refused", "timing", "resets", "shutdown", "leave"];

    private static readonly string[] DiskGuestSteps =
        ["lab", "boot", "lspci", "files", "interrupts", "re-probe", "reset", "module", "trim", "leave"];

    private static readonly string[] TwoDisksGuestSteps =
        ["lab", "boot", "lspci", "files", "interrupts", "re-probe", "reset", "module", "second", "trim", "leave"];

    private static readonly string[] EduGuestSteps = ["lab", "boot", "lspci", "interrupts", "maps", "dma", "refused", "unmaps", "leave"];

    /// <summary>The first time QEMU and a kernel are fetched.</summary>
    private static readonly TimeSpan GuestPatience = TimeSpan.FromMinutes(14);

    [Fact]
    public async Task Demo_WithoutArguments_ShowsEveryStep()
    {
        ToolResult result = await ToolProcess.RunAsync("demo");

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        Assert.Equal(CardSteps, Shown(result));
        Assert.StartsWith("10 steps verified in ", result.Output[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("edu", false)]
    [InlineData("edu", true)]
    [InlineData("nvme", false)]
    [InlineData("nvme", true)]
    public async Task Demo_OfOtherDevices_ShowsEveryStep(string device, bool json)
    {
        string[] steps = device == "edu" ? EduSteps : DiskSteps;
        ToolResult result = await ToolProcess.RunAsync(["demo", device, .. json ? (string[])["--json"] : []]);

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        Assert.Equal(steps, json ? Steps(result) : Shown(result).Where(word => word != "|"));
    }

    [Fact]
    public async Task Demo_AsJson_EveryLineIsAnObjectAndTheLastSaysDone()
    {
        ToolResult result = await ToolProcess.RunAsync("demo", "idio16", "--json");

        Assert.Equal(0, result.Status);
        Assert.Equal(CardSteps, result.Objects[..^1].Select(o => o.GetProperty("step").GetString()));
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("ok").GetBoolean()));
        Assert.Equal("done", result.Objects[^1].GetProperty("event").GetString());
        Assert.True(result.Objects[^1].GetProperty("seconds").GetDouble() > 0);
    }

    [Fact]
    public async Task Demo_TemporaryFolderThatIsTooLongOrMissing_RunsInTmp()
    {
        using var folder = new TemporaryFolder();
        string tooLong = Directory.CreateDirectory(folder.File(new string('x', 100))).FullName;
        foreach (string temporary in (string[])[tooLong, folder.File("missing")])
        {
            ToolResult result = await RunAsync(new() { ["TMPDIR"] = temporary }, "demo", "--json");

            Assert.Equal(0, result.Status);
            Assert.Contains(" /tmp/penstock-", result.Objects[0].GetProperty("what").GetString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Demo_TemporaryFolderThatFits_IsUsedAndLeftEmpty()
    {
        using var folder = new TemporaryFolder();
        ToolResult result = await RunAsync(new() { ["TMPDIR"] = folder.Path }, "demo", "--json");

        Assert.Equal(0, result.Status);
        Assert.Contains($" {folder.Path}/penstock-", result.Objects[0].GetProperty("what").GetString(), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public async Task Demo_TemporaryFolderThatTakesNoFolders_IsNamedWithTheRemedyAndJsonSaysFailed()
    {
        ToolResult result = await RunAsync(new() { ["TMPDIR"] = "/proc" }, "demo", "--json");

        Assert.Equal(1, result.Status);
        string error = Assert.Single(result.Errors);
        Assert.All(["in /proc:", "TMPDIR"], text => Assert.Contains(text, error, StringComparison.Ordinal));
        AssertFailed(Assert.Single(result.Objects), "in /proc:");
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
        ToolResult result = await RunAsync(environment, "demo", "--guest", "x86_64", "--json");

        Assert.Equal(1, result.Status);
        AssertFailed(result.Objects[^1], "no-such-qemu");
        Assert.Contains("no-such-qemu", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task GuestDemo_NoNetworkOnTheFirstFetch_IsOneLine()
    {
        using var folder = new TemporaryFolder();
        string nobody = new UriBuilder(Uri.UriSchemeHttp, "127.0.0.1", 9).ToString();
        var environment = new Dictionary<string, string?>
        {
            ["PENSTOCK_LAB"] = folder.File("lab"),
            ["http_proxy"] = nobody,
            ["https_proxy"] = nobody,
        };
        ToolResult result = await RunAsync(environment, "demo", "--guest", "x86_64");

        Assert.Equal(1, result.Status);
        string error = Assert.Single(result.Errors, line => line.StartsWith("penstock", StringComparison.Ordinal));
        Assert.Contains("check the network", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GuestDemo_QemuTooOld_NamesItItsVersionAndTheOneNeeded()
    {
        using var folder = new TemporaryFolder();
        string qemu = folder.File("qemu-system-x86_64");
        ProgramFile.Write(qemu, "#!/bin/sh\necho 'QEMU emulator version 7.2.0'\n");
        var environment = new Dictionary<string, string?> { ["PENSTOCK_LAB"] = folder.Path, ["PENSTOCK_QEMU"] = qemu };
        ToolResult result = await RunAsync(environment, "demo", "--guest", "x86_64");

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
        ProgramFile.Write(
            qemu, $"#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'QEMU emulator version 11.1.0'; exit; }}\necho $$ > '{folder.File("pid")}'\nexec /bin/sleep 600\n");
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
        using var tool = new ToolProcess(WorkingCopy.Program, ["demo", "--guest", "x86_64", "--json"], environment);
        await tool.ErrorLineAsync("booting the guest");
        Assert.True(SpinWait.SpinUntil(() => new FileInfo(folder.File("pid")) is { Exists: true, Length: > 0 }, ToolProcess.Patience));
        tool.Signal(signal);

        ToolResult result = await tool.EndAsync();
        Assert.Equal(1, result.Status);
        Assert.Equal("penstock demo: interrupted", Assert.Single(result.Errors));
        AssertFailed(result.Objects[^1], "interrupted");
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary));
        Assert.NotEqual(0, ToolProcess.Kill(int.Parse(await File.ReadAllTextAsync(folder.File("pid")), System.Globalization.CultureInfo.InvariantCulture), 0));
    }

    [Theory]
    [InlineData("idio16", "x86_64", false)]
    [InlineData("idio16", "x86_64", true)]
    [InlineData("edu", "x86_64", false)]
    [InlineData("edu", "x86_64", true)]
    [InlineData("nvme", "x86_64", false)]
    [InlineData("nvme", "s390x", true)]
    [InlineData("nvme", "ppc64le", false)]
    [Trait("Category", "VM")]
    public async Task GuestDemo_RealGuest_ShowsEveryStep(string device, string guest, bool json)
    {
        string[] steps = (device, guest) switch
        {
            ("edu", _) => EduGuestSteps,
            ("nvme", "ppc64le") => TwoDisksGuestSteps,
            ("nvme", _) => DiskGuestSteps,
            _ => GuestSteps,
        };
        var tool = new ToolProcess(WorkingCopy.Program, ["demo", device, "--guest", guest, .. json ? (string[])["--json"] : []]);
        ToolResult result = await ToolProcess.EndAsync(tool, GuestPatience);

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        if (json)
        {
            Assert.Equal(steps, Steps(result));
            Assert.Equal("done", result.Objects[^1].GetProperty("event").GetString());
            Assert.True(result.Objects[^1].GetProperty("ok").GetBoolean());
            Assert.Equal(steps.Length, result.Objects[^1].GetProperty("steps").GetInt32());
        }
        else
        {
            Assert.Equal(steps, Shown(result).Where(word => word != "|"));
            Assert.StartsWith($"{steps.Length} steps verified in ", result.Output[^1], StringComparison.Ordinal);
        }
    }

    private static IEnumerable<string?> Steps(ToolResult result) =>
        result.Objects.Where(o => o.TryGetProperty("step", out _)).Select(o => o.GetProperty("step").GetString());

    private static IEnumerable<string> Shown(ToolResult result) => result.Output
        .Where(l => l.StartsWith("  ", StringComparison.Ordinal))
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]);

    private static Task<ToolResult> RunAsync(Dictionary<string, string?> environment, params string[] arguments) =>
        ToolProcess.EndAsync(new ToolProcess(WorkingCopy.Program, arguments, environment));

    private static void AssertFailed(System.Text.Json.JsonElement last, string text)
    {
        Assert.Equal("failed", last.GetProperty("event").GetString());
        Assert.False(last.GetProperty("ok").GetBoolean());
        Assert.Contains(text, last.GetProperty("what").GetString(), StringComparison.Ordinal);
    }
}
