namespace Penstock.Cli.Tests;

/// <summary>The script <c>./penstock</c>.</summary>
public sealed class LauncherTests
{
    private const string Build = """
        sleep 0.3
        mkdir -p "$cli"
        printf '#!/bin/bash\necho "pid $$ arguments $*"\n' > "$cli/penstock"
        chmod +x "$cli/penstock"
        touch "$cli/penstock.dll"
        """;

    [Theory]
    [InlineData("penstock", "penstock: ")]
    [InlineData("test", "test: ")]
    public async Task Script_WithoutDotnet_SaysPlainlyWhatIsMissing(string script, string prefix)
    {
        using var folder = new TemporaryFolder();
        foreach (string tool in (string[])["bash", "readlink", "dirname"])
        {
            File.CreateSymbolicLink(folder.File(tool), new[] { $"/usr/bin/{tool}", $"/bin/{tool}" }.First(File.Exists));
        }

        var environment = new Dictionary<string, string?> { ["PATH"] = folder.Path };
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(folder.File("bash"), [WorkingCopy.Path(script)], environment));

        Assert.Equal(1, result.Status);
        string error = Assert.Single(result.Errors);
        Assert.StartsWith($"{prefix}the .NET 10 SDK is needed and was not found; install it", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Penstock_OnlyOlderSdks_SaysPlainlyWhatIsMissing()
    {
        using var tree = new ScriptFolder("penstock", Build);
        tree.Write("bin/dotnet", "#!/bin/bash\necho '9.0.110 [/usr/lib/dotnet/sdk]'");

        ToolResult result = await tree.RunAsync(tree.Script("penstock"));

        result.AssertRefused(1, ".NET 10 SDK");
    }

    [Fact]
    public async Task Penstock_FreshTree_BuildsOnceAndBecomesTheProgram()
    {
        using var tree = new ScriptFolder("penstock", Build);
        using ToolProcess tool = tree.Start(tree.Script("penstock"), "demo", "a b");

        Assert.Equal($"pid {tool.Id} arguments demo a b", await tool.LineAsync("pid"));
        Assert.Equal(0, (await tool.EndAsync()).Status);
        await tree.RunAsync(tree.Script("penstock"));
        Assert.Single(tree.Calls);
    }

    [Fact]
    public async Task Penstock_TwiceAtTheSameTimeInAFreshTree_BuildsOnce()
    {
        using var tree = new ScriptFolder("penstock", Build);

        ToolResult[] results = await Task.WhenAll(tree.RunAsync(tree.Script("penstock")), tree.RunAsync(tree.Script("penstock")));

        Assert.All(results, result => Assert.Equal(0, result.Status));
        Assert.Single(tree.Calls);
    }

    [Fact]
    public async Task Penstock_CompilerThatStaysAfterTheBuild_DoesNotHoldTheLock()
    {
        using var tree = new ScriptFolder("penstock", Build + "\nsetsid sleep 20 >/dev/null 2>&1 </dev/null &\necho $! > \"$cli/stays\"");
        await tree.RunAsync(tree.Script("penstock"));
        try
        {
            using ToolProcess flock = tree.Start("flock", "-n", tree.Inside("tree/out/build.lock"), "true");
            Assert.Equal(0, (await flock.EndAsync()).Status);
        }
        finally
        {
            string stays = await File.ReadAllTextAsync(tree.Inside("tree/src/Penstock.Cli/bin/Release/net10.0/stays"));
            _ = ToolProcess.Kill(int.Parse(stays, System.Globalization.CultureInfo.InvariantCulture), ToolProcess.Terminate);
        }
    }

    [Fact]
    public async Task Penstock_ChangedSource_BuildsAgain()
    {
        using var tree = new ScriptFolder("penstock", Build);
        await tree.RunAsync(tree.Script("penstock"));
        File.SetLastWriteTimeUtc(tree.Inside("tree/src/Penstock.Cli/Program.cs"), DateTime.UtcNow.AddMinutes(1));

        await tree.RunAsync(tree.Script("penstock"));

        Assert.Equal(2, tree.Calls.Length);
    }

    [Fact]
    public async Task Penstock_BuildFails_ShowsWhyAndFails()
    {
        using var tree = new ScriptFolder("penstock", "echo 'Program.cs(1,1): error CS0000: no'; exit 1");

        ToolResult result = await tree.RunAsync(tree.Script("penstock"));

        Assert.Equal(1, result.Status);
        Assert.Contains("Program.cs(1,1): error CS0000: no", result.Errors);
        Assert.StartsWith("penstock: the build failed", result.Errors[^1], StringComparison.Ordinal);
        Assert.Empty(result.Output);
    }

    [Fact]
    public async Task Penstock_ThroughASymbolicLink_FindsItsTree()
    {
        using var tree = new ScriptFolder("penstock", Build);
        File.CreateSymbolicLink(tree.Inside("link"), tree.Script("penstock"));

        Assert.Equal(0, (await tree.RunAsync(tree.Inside("link"))).Status);
    }

    [Fact]
    public async Task Penstock_BuiltTree_WritesNothing()
    {
        using var tree = new ScriptFolder("penstock", Build);
        await tree.RunAsync(tree.Script("penstock"));
        Dictionary<string, DateTime> before = Times(tree.Tree);

        Assert.Equal(0, (await tree.RunAsync(tree.Script("penstock"))).Status);
        Assert.Equal(before, Times(tree.Tree));
    }

    [Fact]
    public async Task Penstock_TreeThatCannotBeWritten_SaysSo()
    {
        using var tree = new ScriptFolder("penstock", Build);
        File.WriteAllText(tree.Inside("tree/out"), "a file in the place of the folder stops even root");

        (await tree.RunAsync(tree.Script("penstock"))).AssertRefused(1, "cannot be written");
    }

    [Fact]
    public async Task Penstock_Terminated_TheServerEndsAndRemovesItsSocket()
    {
        using var folder = new TemporaryFolder();
        using var tool = new ToolProcess(WorkingCopy.Path("penstock"), ["serve", "idio16", "--socket", folder.File("card.sock")]);
        await tool.LineAsync("Ctrl-C ends");
        tool.Signal(ToolProcess.Terminate);

        Assert.Equal(0, (await tool.EndAsync()).Status);
        Assert.False(File.Exists(folder.File("card.sock")));
    }

    private static Dictionary<string, DateTime> Times(string folder) =>
        Directory.EnumerateFileSystemEntries(folder, "*", SearchOption.AllDirectories).ToDictionary(path => path, File.GetLastWriteTimeUtc);
}
