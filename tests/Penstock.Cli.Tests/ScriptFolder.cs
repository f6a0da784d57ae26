using Penstock.Lab.Tests;

namespace Penstock.Cli.Tests;

/// <summary>
/// A tree that has one of the root's scripts and, on the PATH, a <c>dotnet</c> that only notes what it is asked for and does what the test
/// says: builds and test runs in milliseconds.
/// </summary>
internal sealed class ScriptFolder : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ScriptFolder(string script, string dotnet)
    {
        Directory.CreateDirectory(_folder.File("tree/src/Penstock.Cli"));
        Directory.CreateDirectory(_folder.File("bin"));
        foreach (string name in (string[])["tree/Directory.Build.props", "tree/Directory.Build.targets", "tree/global.json", "tree/src/Penstock.Cli/Program.cs"])
        {
            File.WriteAllText(_folder.File(name), "");
        }

        ProgramFile.Write(Script(script), File.ReadAllText(WorkingCopy.Path(script)));
        Write("bin/dotnet", $"""
            #!/bin/bash
            if [ "$1" = --list-sdks ]; then echo '9.0.100 [/x]'; echo '10.0.100 [/x]'; exit; fi
            echo "$*" >> '{Log}'
            cli='{_folder.File("tree/src/Penstock.Cli/bin/Release/net10.0")}'
            results='{_folder.File("tree/out/results")}'
            {dotnet}
            """);
    }

    /// <summary>What dotnet was asked for, a line each, without the listings.</summary>
    public string[] Calls => File.Exists(Log) ? File.ReadAllLines(Log) : [];

    public string Tree => _folder.File("tree");

    private string Log => _folder.File("log");

    public string Script(string name) => _folder.File($"tree/{name}");

    public string Inside(string name) => _folder.File(name);

    public void Write(string name, string text)
    {
        string path = _folder.File(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        ProgramFile.Write(path, text + "\n");
    }

    /// <summary>Starts a program with the folder's <c>dotnet</c> first on the PATH.</summary>
    public ToolProcess Start(string program, params string[] arguments) => new(
        program, arguments, new Dictionary<string, string?> { ["PATH"] = $"{_folder.File("bin")}:{Environment.GetEnvironmentVariable("PATH")}" }, "/");

    public Task<ToolResult> RunAsync(string program, params string[] arguments) => ToolProcess.EndAsync(Start(program, arguments));

    public void Dispose() => _folder.Dispose();
}
