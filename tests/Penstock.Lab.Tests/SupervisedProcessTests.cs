using System.Diagnostics;
using Penstock.Lab.Processes;

namespace Penstock.Lab.Tests;

public sealed class SupervisedProcessTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    /// <summary>A program that tells its process id in a file and then sleeps for as long as the test could last.</summary>
    private static string[] Sleeper(string idFile) => ["/bin/sh", "-c", $"echo $$ > '{idFile}.part'; mv '{idFile}.part' '{idFile}'; exec sleep 600"];

    private static async Task<int> IdAsync(string idFile)
    {
        var clock = Stopwatch.StartNew();
        while (!File.Exists(idFile) && clock.Elapsed < Limit)
        {
            await Task.Delay(10);
        }

        return int.Parse(await File.ReadAllTextAsync(idFile), System.Globalization.CultureInfo.InvariantCulture);
    }

    internal static async Task<bool> EndsAsync(int id)
    {
        var clock = Stopwatch.StartNew();
        while (Lives(id))
        {
            if (clock.Elapsed > Limit)
            {
                return false;
            }

            await Task.Delay(10);
        }

        return true;
    }

    /// <summary>A zombie that init has not collected yet counts as ended.</summary>
    internal static bool Lives(int id)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{id}/stat");
            return stat[stat.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (Exception e) when (e is IOException)
        {
            return false;
        }
    }

    internal static string CommandLine(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    /// <summary>Processes whose command line names what only one test has.</summary>
    internal static List<int> ProcessesWith(string mark) =>
        [.. Process.GetProcesses().Select(p => p.Id).Where(id => CommandLine(id).Contains(mark, StringComparison.Ordinal) && Lives(id))];

    [Fact]
    public async Task Supervisor_ParentKilledWithSigkill_EndsTheProgramAndItsFolder()
    {
        using var folder = new TemporaryFolder();
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true };
        foreach (var argument in (string[])["exec", typeof(SupervisingParent).Assembly.Location, .. Sleeper(folder.File("id"))])
        {
            start.ArgumentList.Add(argument);
        }

        using var parent = Process.Start(start)!;
        var id = await IdAsync(folder.File("id"));
        Assert.True(Lives(id));
        parent.Kill(); // SIGKILL: nothing of ours runs after it
        await parent.WaitForExitAsync();
        Assert.True(await EndsAsync(id), $"process {id} outlived its parent");
    }

    [Fact]
    public async Task Supervisor_KilledAlone_TheProgramEndsToo()
    {
        using var folder = new TemporaryFolder();
        var command = Sleeper(folder.File("id"));
        await using var process = SupervisedProcess.Start(command[0], command[1..]);
        var id = await IdAsync(folder.File("id"));
        using (var shell = Process.GetProcessById(process.SupervisorId))
        {
            shell.Kill();
        }

        Assert.True(await EndsAsync(id));
        await process.Exit.WaitAsync(Limit);
    }

    [Fact]
    public async Task KillAsync_RunningProgram_EndsItAndRemovesTheFolder()
    {
        using var folder = new TemporaryFolder();
        var command = Sleeper(folder.File("id"));
        Directory.CreateDirectory(folder.File("work"));
        await using var process = SupervisedProcess.Start(command[0], command[1..], folderToRemove: folder.File("work"));
        var id = await IdAsync(folder.File("id"));
        await process.KillAsync();
        Assert.False(Lives(id));
        Assert.Equal(128 + 9, await process.Exit);
        Assert.False(Directory.Exists(folder.File("work")));
    }

    /// <summary>Of the supervisor itself nothing is left either, its watching subshell first of all.</summary>
    [Fact]
    public async Task KillAsync_ManyTimes_LeavesNoProcess()
    {
        var mark = "penstock-mark-" + Guid.NewGuid().ToString("N");
        for (int round = 0; round < 40; round++)
        {
            await using var process = SupervisedProcess.Start("/bin/sh", ["-c", "exec sleep 600", mark]);
            await process.KillAsync();
            Assert.Empty(ProcessesWith(mark));
        }
    }

    [Fact]
    public async Task KillAsync_AskedBySeveralAtOnceAndAsItEnds_Ends()
    {
        for (int round = 0; round < 60; round++)
        {
            await using var process = SupervisedProcess.Start("/bin/sh", ["-c", "exit 3"]);
            using var start = new Barrier(8);
            var threads = Enumerable.Range(0, 8).Select(_ => Task.Factory.StartNew(
                () =>
                {
                    start.SignalAndWait();
                    return process.KillAsync();
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default).Unwrap());
            await Task.WhenAll([.. threads]).WaitAsync(Limit);
            Assert.True(process.Exit.IsCompletedSuccessfully);
        }
    }

    [Fact]
    public async Task Program_ThatEnds_GivesItsStatusAndBothOutputs()
    {
        await using var process = SupervisedProcess.Start("/bin/sh", ["-c", "echo out; echo err >&2; cat; exit 7"]);
        Assert.Equal(7, await process.Exit.WaitAsync(Limit));
        Assert.Equal(("out\n", "err\n"), (process.Output, process.Errors));
    }

    [Fact]
    public async Task Program_ArgumentsWithBlanksAndQuotes_ArriveAsTheyAre()
    {
        await using var process = SupervisedProcess.Start("/usr/bin/printf", ["[%s]", "a b", "'\"$HOME", ""]);
        await process.Exit.WaitAsync(Limit);
        Assert.Equal("[a b]['\"$HOME][]", process.Output);
    }

    [Fact]
    public async Task Tool_Cancelled_EndsTheProgram()
    {
        using var folder = new TemporaryFolder();
        var command = Sleeper(folder.File("id"));
        using var cancel = new CancellationTokenSource();
        var run = Tool.RunAsync(command[0], command[1..], LabEnvironment.OfProcess, cancel.Token);
        var id = await IdAsync(folder.File("id"));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run);
        Assert.False(Lives(id));
    }
}
