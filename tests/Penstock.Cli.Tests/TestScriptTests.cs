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

    /// <summary>Where tests run elsewhere only the end of their log is seen.</summary>
    [Fact]
    public async Task Test_OneFails_SaysWhyRightBeforeTheLastLine()
    {
        ToolResult result = await RunAsync(Report(1, 1, 1, Explained("A.F(text: &quot;&lt;x&gt;&quot;)", "expected &amp;&amp;&#xD;\nactual") + "\n" + Passed), "fast");

        Assert.Equal(
            ["test: failed: A.F(text: \"<x>\") (Two.Tests, fast)", "  expected &&", "  actual", "     at A.F() in A.cs:line 1", "2 passed, 2 failed"],
            result.Output[^5..].Select(static l => l.TrimEnd()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(200)]
    public async Task Test_ManyFail_SaysWhyInFewLines(int count)
    {
        string message = string.Join('\n', Enumerable.Range(0, 100).Select(static n => $"line {n}"));
        string results = string.Join('\n', Enumerable.Range(0, count).Select(n => Explained($"A.F{n}", message)));

        ToolResult result = await RunAsync(Report(1, 0, count, results), "fast");

        Assert.InRange(result.Output.Length, Math.Min(20, 4 * count), 62);
        Assert.Equal(Math.Min(2 * count, 30), result.Output.Count(static l => l.StartsWith("test: failed: ", StringComparison.Ordinal)));
        Assert.Equal($"0 passed, {2 * count} failed", result.Output[^1]);
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
    public async Task Test_RunnerDies_ShowsTheEndOfItsLogAtTheEnd()
    {
        ToolResult result = await RunAsync("seq 100; echo; echo 'Fatal error.' >&2; exit 134", "fast");

        Assert.Equal(
            ["  99", "  100", "  Fatal error.", "0 passed, 2 failed"],
            result.Output[^4..]);
        Assert.Equal(2, result.Output.Count(static l => l.EndsWith("ended with status 134", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Test_RunnerCrashesBesideAFailedTest_ShowsBoth()
    {
        const string Crash = "  <RunInfo outcome=\"Error\">\n    <Text>The test host has crashed: A.G</Text>";
        ToolResult result = await RunAsync(Report(1, 1, 1, Passed + "\n" + Failed + "\n" + Crash), "fast");

        Assert.Equal(
            ["test: failed: A.F (Two.Tests, fast)", "test: the runner of Two.Tests, fast:", "  The test host has crashed: A.G", "2 passed, 2 failed"],
            result.Output[^4..]);
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

    private static string Explained(string name, string message) => $"""
            <UnitTestResult testName="{name}" outcome="Failed">
              <Output>
                <ErrorInfo>
                  <Message>{message}</Message>
                  <StackTrace>   at A.F() in A.cs:line 1
           at System.Reflection.MethodBaseInvoker.InvokeWithNoArgs()</StackTrace>
                </ErrorInfo>
              </Output>
            </UnitTestResult>
        """;

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
