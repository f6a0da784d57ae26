using System.Globalization;
using Penstock.Lab.Tests;

namespace Penstock.Cli.Tests;

public sealed class BenchTests
{
    [Fact]
    public async Task BenchScript_ShortRun_PrintsAnObjectForEachMeasure()
    {
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(
            WorkingCopy.Path("bench", "messages"), ["--rounds", "1", "--operations", "200", "--measures", "region_read_4,region_write_4"]));

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(["region_read_4", "region_write_4"], result.Objects.Select(o => o.GetProperty("measure").GetString()).Order());
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("best_ns").GetDouble() > 0 && o.GetProperty("median_ratio").GetDouble() > 0));
    }

    [Fact]
    public async Task BenchMessages_WithoutACClient_MeasuresWithItsOwn()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "messages", "--rounds", "2", "--operations", "100", "--measures", "region_*,dma_map_*:20");

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(
            ["region_read_4", "region_write_4", "region_write_4_posted", "region_read_4096", "region_write_4096", "dma_map_unmap_4k", "dma_map_unmap_4k_fd", "dma_map_unmap_2m_fd"],
            result.Objects.Select(o => o.GetProperty("measure").GetString()));
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("best_ns").GetDouble() > 0 && o.GetProperty("best_ns").GetDouble() <= o.GetProperty("median_ns").GetDouble()));
    }

    [Fact]
    public async Task BenchScript_ServersStartedAnew_SpreadsTheRoundsOverTheStarts()
    {
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(
            WorkingCopy.Path("bench", "messages"), ["--rounds", "3", "--starts", "2", "--operations", "200", "--measures", "region_read_4"]));

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(["warming up", "round 1 of 3", "warming up", "round 2 of 3", "round 3 of 3"], result.Errors.Where(l => l.StartsWith("warming", StringComparison.Ordinal) || l.StartsWith("round", StringComparison.Ordinal)));
        Assert.Equal(3, Assert.Single(result.Objects).GetProperty("rounds").GetInt32());
    }

    [Fact]
    public async Task BenchMaps_ShortRun_PrintsAnObjectForEachMeasure()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "maps", "--rounds", "1", "--operations", "64");

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(22, result.Objects.Length);
        Assert.Equal([1, 64, 1024, 16384, 65535], result.Objects.Where(o => o.GetProperty("measure").GetString() == "unmap" && o.GetProperty("reader").GetBoolean()).Select(o => o.GetProperty("maps").GetInt32()));
        Assert.Contains(result.Objects, o => o.GetProperty("measure").GetString() == "pin" && o.GetProperty("pages").GetInt32() == 512);
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("median_ns").GetDouble() > 0));
    }

    [Fact]
    public async Task BenchZpci_Interrupts_HostIsInterruptedOnlyWhereItDelivers()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "zpci", "--measures", "interrupts", "--rounds", "1", "--operations", "6400");

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(7, result.Objects.Length);
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("median_ns").GetDouble() > 0));
        Assert.All(result.Objects, o => Assert.Equal(
            o.GetProperty("measure").GetString()!.EndsWith("host", StringComparison.Ordinal) ? 1 : 0, o.GetProperty("host_interrupts").GetDouble()));
    }

    [Fact]
    public async Task BenchDma_ShortRun_MeasuresMappedMemoryAndAllocatesNothing()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "dma", "--rounds", "1", "--accesses", "1000");

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(18, result.Objects.Length);
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("median_ns").GetDouble() > 0));
        Assert.All(
            result.Objects.Where(o => o.GetProperty("measure").GetString()!.StartsWith("translate", StringComparison.Ordinal)),
            o => Assert.Equal(0, o.GetProperty("allocated_bytes").GetDouble()));
    }

    [Fact]
    public async Task BenchDmaScript_ShortRun_MeasuresMessagesBesideTheFloor()
    {
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(
            WorkingCopy.Path("bench", "dma"), ["--rounds", "1", "--operations", "100", "--accesses", "100"]));

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(4, result.Objects.Count(o => o.GetProperty("measure").GetString()!.StartsWith("dma_message", StringComparison.Ordinal) && o.GetProperty("best_ratio").GetDouble() > 0));
    }

    [Fact]
    public async Task BenchNvme_ShortRun_PrintsReadsAndWritesAtBothDepths()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "nvme", "--rounds", "1", "--operations", "5000", "--size", "16M");

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(
            [("nvme_read_4096", 1), ("nvme_read_4096", 32), ("nvme_write_4096", 1), ("nvme_write_4096", 32)],
            result.Objects.Select(o => (o.GetProperty("measure").GetString()!, o.GetProperty("depth").GetInt32())));
        Assert.All(result.Objects, o => Assert.True(o.GetProperty("mapped_doorbells").GetBoolean() && o.GetProperty("best_iops").GetDouble() > 0));
        Assert.All(
            result.Objects.Where(o => o.GetProperty("depth").GetInt32() == 1),
            o => Assert.True(o.GetProperty("controller_samples").GetInt32() > 0 && o.GetProperty("controller_data_ns").GetDouble() > 0));
        Assert.All(result.Objects, o =>
        {
            double[] latencies = [.. new[] { "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns" }.Select(name => o.GetProperty(name).GetDouble())];
            Assert.Equal(latencies.Order(), latencies);
            Assert.True(latencies[0] > 0);
        });
    }

    [Fact]
    public async Task BenchNvme_PeerByPath_IsMeasuredInTurnAndCompared()
    {
        using var folder = new TemporaryFolder();
        string peer = Program(folder, "peer", $"exec '{WorkingCopy.Program}' serve nvme --poll --size 16M --socket \"$1\"");

        ToolResult result = await ToolProcess.RunAsync("bench", "nvme", "--rounds", "1", "--operations", "2000", "--size", "16M", "--peer", peer);

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(
            ["penstock", "peer", "penstock", "peer", "penstock", "peer", "penstock", "peer"],
            result.Objects.Select(o => o.GetProperty("server").GetString()));
        Assert.All(result.Objects, o =>
        {
            bool isOurs = o.GetProperty("server").GetString() == "penstock";
            Assert.Equal(isOurs, o.TryGetProperty("best_ratio", out _) && o.TryGetProperty("controller_samples", out _));
            Assert.True(o.GetProperty("best_iops").GetDouble() > 0);
        });
    }

    [Fact]
    public async Task BenchNvme_PeerThatIsNotThere_SaysWhatIsWanted()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "nvme", "--peer", "/no/such/program");

        Assert.Equal(2, result.Status);
        Assert.Contains("--peer: there is no program '/no/such/program'", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("nvme", "--operations", "1000000000", "Read, 1 under way")]
    [InlineData("dma", "--accesses", "1000000000", "translation, 1 mappings")]
    [InlineData("maps", "--operations", "10000000", "1 mappings, no reader")]
    public async Task Bench_InterruptedInALongRound_EndsAndLeavesNothing(string bench, string option, string many, string note)
    {
        using var folder = new TemporaryFolder();
        using var tool = new ToolProcess(WorkingCopy.Program, ["bench", bench, option, many], new Dictionary<string, string?> { ["TMPDIR"] = folder.Path });
        await tool.ErrorLineAsync(note);
        tool.Signal(ToolProcess.Interrupt);

        ToolResult result = await tool.EndAsync();
        Assert.Equal(1, result.Status);
        Assert.Equal($"penstock bench {bench}: interrupted", result.Errors[^1]);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Theory]
    [InlineData("messages", "--client", "/bin/true")]
    [InlineData("dma", "--client", "/bin/true")]
    [InlineData("maps", "--rounds", "1")]
    public async Task Bench_MoreOperationsThanCanBeKept_AreRefused(string bench, string option, string value)
    {
        ToolResult result = await ToolProcess.RunAsync("bench", bench, option, value, "--operations", "1000000000");

        Assert.Equal(2, result.Status);
        Assert.Contains("--operations '1000000000' is not a number from 1 to 10000000", result.Errors[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("messages")]
    [InlineData("dma")]
    public async Task Bench_ClientThatIsNotThere_NamesTheScript(string bench)
    {
        ToolResult result = await ToolProcess.RunAsync("bench", bench, "--client", "/nonexistent");

        Assert.Equal(2, result.Status);
        Assert.Contains($"the script bench/{bench} builds", result.Errors[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task BenchNvme_SizeThatIsNone_TellsTheServersWords()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "nvme", "--rounds", "1", "--size", "much");

        Assert.Equal(1, result.Status);
        Assert.Contains("much", result.Errors[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bench_ClientThatIsNoProgram_IsRefused()
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder.File("client"), "");

        await AssertFailsAsync(folder.File("client"), folder.File("client"), "cannot be started");
    }

    [Theory]
    [InlineData("/bin/true", "measured nothing")]
    [InlineData("/bin/false", "false ended with status 1")]
    [InlineData("/bin/echo", "no measurement")]
    public Task Bench_ClientThatIsAnotherProgram_IsRefused(string client, string text) => AssertFailsAsync(client, text);

    /// <summary>Its client would wait for as long as it waits for anybody.</summary>
    [Fact]
    public async Task Bench_ServerThatEnds_EndsTheMeasuringWithItsWords()
    {
        using var folder = new TemporaryFolder();
        string client = Program(folder, "client", "[[ $* != *floor.sock ]] || exec sleep 600; echo '{\"measure\":\"any\",\"ns_mean\":1}'");
        string floor = Program(folder, "floor", "echo 'no such luck' >&2; exit 3");
        ToolResult result = await ToolProcess.RunAsync("bench", "messages", "--client", client, "--floor", floor);

        Assert.Equal(1, result.Status);
        Assert.Contains("floor ended with status 3: no such luck", result.Errors[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ToolProcess.Interrupt)]
    [InlineData(ToolProcess.Terminate)]
    public async Task Bench_Signal_EndsItsChildrenAndRemovesItsFolder(int signal)
    {
        using var folder = new TemporaryFolder();
        string pids = folder.File("pids");
        string client = Program(folder, "client", $"echo $$ >> '{pids}'; shift $(($# - 1)); echo \"$1\" > '{folder.File("socket")}'; exec sleep 600");
        string floor = Program(folder, "floor", $"echo $$ >> '{pids}'; exec sleep 600");
        using ToolProcess tool = ToolProcess.Penstock("bench", "messages", "--client", client, "--floor", floor);
        Assert.True(SpinWait.SpinUntil(() => new FileInfo(folder.File("socket")) is { Exists: true, Length: > 0 } && File.ReadLines(pids).Count() == 2, ToolProcess.Patience));
        string socket = (await File.ReadAllTextAsync(folder.File("socket"))).Trim();
        string[] children = [];
        Assert.True(SpinWait.SpinUntil(() => (children = ChildrenOf(tool.Id)).Length == 3, ToolProcess.Patience));
        tool.Signal(signal);

        ToolResult result = await tool.EndAsync();
        Assert.Equal(1, result.Status);
        Assert.Equal("penstock bench messages: interrupted", result.Errors[^1]);
        Assert.All(children, AssertGone);
        Assert.False(Directory.Exists(Path.GetDirectoryName(socket)));
    }

    /// <summary>Gone, or only its end has not been taken note of by whoever inherited it.</summary>
    private static void AssertGone(string pid) => Assert.True(
        SpinWait.SpinUntil(
            () =>
            {
                try
                {
                    return File.ReadAllText($"/proc/{pid}/stat").Split(") ")[^1][0] == 'Z';
                }
                catch (IOException)
                {
                    return true;
                }
            },
            ToolProcess.Patience),
        $"{pid} lives");

    private static string[] ChildrenOf(int process)
    {
        var children = new List<string>();
        foreach (string thread in Directory.EnumerateDirectories($"/proc/{process}/task"))
        {
            try
            {
                children.AddRange(File.ReadAllText(Path.Combine(thread, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries));
            }
            catch (IOException)
            {
                // The thread has ended meanwhile.
            }
        }

        return [.. children];
    }

    private static async Task AssertFailsAsync(string client, params string[] texts)
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "messages", "--client", client, "--rounds", "1");

        Assert.Equal(1, result.Status);
        Assert.Empty(result.Output);
        Assert.All(texts, text => Assert.Contains(text, result.Errors[^1], StringComparison.Ordinal));
    }

    private static string Program(TemporaryFolder folder, string name, string script)
    {
        string path = folder.File(name);
        ProgramFile.Write(path, $"#!/bin/bash\n{script}\n");
        return path;
    }

    [Fact]
    public async Task BenchZpci_Json_WalksModesQueuesAndExits()
    {
        using var folder = new TemporaryFolder();
        string plot = folder.File("plot.svg");
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(
            WorkingCopy.Path("bench", "zpci"), ["--rounds", "1", "--operations", "1000", "--measures", "walk,rpcit,load", "--plot", plot]));

        Assert.True(result.Status == 0, string.Join('\n', result.Errors));
        Assert.Equal(4, result.Objects.Count(o => o.GetProperty("measure").GetString() == "walk" && o.GetProperty("median_ratio").GetDouble() > 0));
        Assert.Equal(
            ["fallback, socket", "fallback, container", "shadow", "nested"],
            result.Objects.Where(o => o.GetProperty("measure").GetString() == "rpcit").Select(o => o.GetProperty("mode").GetString()).Distinct());
        Assert.Equal([0.0, 1.0], result.Objects.Where(o => o.GetProperty("measure").GetString() == "load").Select(o => o.GetProperty("exits_per_access").GetDouble()));
        Assert.StartsWith("<svg", await File.ReadAllTextAsync(plot), StringComparison.Ordinal);
    }

    [Fact]
    public async Task BenchZpci_UnknownMeasure_IsWrongUsage()
    {
        ToolResult result = await ToolProcess.RunAsync("bench", "zpci", "--measures", "walk,flight");
        Assert.Equal(2, result.Status);
        Assert.Contains(result.Errors, static line => line.Contains("'flight' is none of walk, rpcit, unmap, load, interrupts", StringComparison.Ordinal));
    }
}
