namespace Penstock.Cli.Tests;

/// <summary>The script <c>./test</c>, with a runner that reports what the test says.</summary>
public sealed class TestScriptTests
{
    private const string Passed = "<UnitTestResult testName=\"A.P\" outcome=\"Passed\" />";
    private const string Failed = "<UnitTestResult testName=\"A.F\" outcome=\"Failed\" />";
    private const string Skipped = "<UnitTestResult testName=\"A.S\" outcome=\"NotExecuted\" />";

    [Fact]
    public async Task Test_AllPass_CountsThemAndSucceeds()
    {
        ToolResult result = await RunAsync(Report(0, 2, 0, Passed + "\n" + Passed), "fast");

        Assert.Equal(0, result.Status);
        Assert.Equal("4 passed, 0 failed", result.Output[^1]);
    }

    [Fact]
    public async Task Test_OneFails_CountsItOnceNamesItAndFails()
    {
        ToolResult result = await RunAsync(Report(1, 1, 1, Passed + "\n" + Failed), "fast");

        Assert.Equal(1, result.Status);
        Assert.Equal("2 passed, 2 failed", result.Output[^1]);
        Assert.Contains("test: failed: A.F", result.Errors);
    }

    [Fact]
    public async Task Test_SkippedTest_HasFailed()
    {
        ToolResult result = await RunAsync(Report(0, 1, 1, Passed + "\n" + Skipped), "fast");

        Assert.Equal(1, result.Status);
        Assert.Equal("2 passed, 2 failed", result.Output[^1]);
        Assert.Contains("test: skipped: A.S", result.Errors);
    }

    [Fact]
    public async Task Test_RunnerCrashesAfterPassedTests_HasFailed()
    {
        ToolResult result = await RunAsync(Report(1, 1, 0, Passed), "fast");

        Assert.Equal(1, result.Status);
        Assert.Equal("2 passed, 2 failed", result.Output[^1]);
    }

    [Fact]
    public async Task Test_RunnerDiesWithoutReport_HasFailed()
    {
        ToolResult result = await RunAsync("exit 134", "fast");

        Assert.Equal(1, result.Status);
        Assert.Equal("0 passed, 2 failed", result.Output[^1]);
    }

    [Fact]
    public async Task Test_FilterMatchesNothingInOneProject_IsNoError()
    {
        ToolResult result = await RunAsync($"case $2 in *One*) {Report(0, 1, 0, Passed)} ;; *) {Report(0, 0, 0, "")} ;; esac", "fast");

        Assert.Equal(0, result.Status);
        Assert.Equal("1 passed, 0 failed", result.Output[^1]);
    }

    [Theory]
    [InlineData("fast")]
    [InlineData("vm")]
    public async Task Test_NothingRan_HasFailed(string what)
    {
        ToolResult result = await RunAsync(Report(0, 0, 0, ""), what);

        Assert.Equal(1, result.Status);
        Assert.Equal("0 passed, 1 failed", result.Output[^1]);
        Assert.Contains("test: no test ran", result.Errors);
    }

    [Fact]
    public async Task Test_BuildFails_HasFailedWithoutRunningTests()
    {
        using var tree = new ScriptFolder("test", "exit 1");
        AddProjects(tree);
        ToolResult result = await tree.RunAsync(tree.Script("test"));

        Assert.Equal(1, result.Status);
        Assert.Equal("0 passed, 1 failed", result.Output[^1]);
        Assert.Single(tree.Calls);
    }

    [Theory]
    [InlineData("bogus")]
    [InlineData("fast", "vm")]
    public async Task Test_UnknownArgument_IsWrongUsage(params string[] arguments)
    {
        ToolResult result = await RunAsync("exit 1", arguments);

        Assert.Equal(2, result.Status);
        Assert.Equal("usage: ./test [all|fast|vm]", Assert.Single(result.Errors));
        Assert.Empty(result.Output);
    }

    private static async Task<ToolResult> RunAsync(string runner, params string[] arguments)
    {
        using var tree = new ScriptFolder("test", $"""
            if [ "$1" = build ]; then exit 0; fi
            name=$(grep -o 'LogFileName=[^ ]*' <<< "$*" | cut -d= -f2)
            {runner}
            """);
        AddProjects(tree);
        return await tree.RunAsync(tree.Script("test"), arguments);
    }

    private static void AddProjects(ScriptFolder tree)
    {
        tree.Write("tree/tests/One.Tests/One.Tests.csproj", "");
        tree.Write("tree/tests/Two.Tests/Two.Tests.csproj", "");
        foreach (string tool in (string[])["cc", "make", "xz", "zstd"])
        {
            tree.Write($"bin/{tool}", "#!/bin/bash");
        }
    }

    /// <summary>A runner's report as the platform writes it: its summary has an outcome of its own, and skipped tests count nowhere but in the total.</summary>
    private static string Report(int status, int passed, int others, string results) => $"""
        cat > "$results/$name" <<'END'
        {results}
          <ResultSummary outcome="{(status == 0 ? "Completed" : "Failed")}">
            <Counters total="{passed + others}" executed="{passed}" passed="{passed}" failed="0" error="0" timeout="0" />
        END
        exit {status}
        """;
}
