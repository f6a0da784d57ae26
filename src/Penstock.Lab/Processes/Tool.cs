namespace Penstock.Lab.Processes;

/// <summary>How a tool ended and what it said.</summary>
internal readonly record struct ToolResult(int ExitCode, string Output, string Errors);

/// <summary>Runs the ordinary programs that the lab is made with, to their end, under supervision.</summary>
internal static class Tool
{
    public static async Task<ToolResult> RunAsync(
        string program,
        IEnumerable<string> arguments,
        LabEnvironment environment,
        CancellationToken cancellation,
        IReadOnlyDictionary<string, string>? variables = null)
    {
        var all = new Dictionary<string, string> { ["LC_ALL"] = "C", ["PATH"] = environment.SearchPath };
        foreach (var (name, value) in variables ?? new Dictionary<string, string>())
        {
            all[name] = value;
        }

        // apt needs a moment to note how far a download has come.
        await using var process = SupervisedProcess.Start(program, arguments, all, gently: true);
        var status = await process.Exit.WaitAsync(cancellation).ConfigureAwait(false);
        return new ToolResult(status, process.Output, process.Errors);
    }
}
