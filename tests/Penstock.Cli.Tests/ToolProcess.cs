using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Threading.Channels;

namespace Penstock.Cli.Tests;

/// <summary>A program run as a child, with its lines as they come. Killed at the end of the test if it still runs.</summary>
internal sealed partial class ToolProcess : IDisposable
{
    public const int Interrupt = 2;
    public const int Terminate = 15;
    public const int HangUp = 1;

    /// <summary>Long enough for a loaded machine; no test passes or fails by how long something takes.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly Channel<string> _output = Channel.CreateUnbounded<string>();
    private readonly Channel<string> _errors = Channel.CreateUnbounded<string>();

    public ToolProcess(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null, string? folder = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? "",
        };
        foreach ((string name, string? value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _ = PumpAsync(_process.StandardOutput, _output.Writer);
        _ = PumpAsync(_process.StandardError, _errors.Writer);
    }

    public int Id => _process.Id;

    public StreamWriter Input => _process.StandardInput;

    public bool HasExited => _process.HasExited;

    /// <summary>Starts the tool.</summary>
    public static ToolProcess Penstock(params string[] arguments) => new(WorkingCopy.Program, arguments);

    /// <summary>Runs the tool to its end with nothing on its standard input.</summary>
    public static Task<ToolResult> RunAsync(params string[] arguments) => EndAsync(Penstock(arguments));

    /// <summary>Waits for a program's end.</summary>
    public static async Task<ToolResult> EndAsync(ToolProcess tool, TimeSpan? patience = null)
    {
        using (tool)
        {
            tool.Input.Close();
            return await tool.EndAsync(patience);
        }
    }

    /// <summary>The next line of standard output that has a text in it.</summary>
    public Task<string> LineAsync(string text) => FindAsync(_output.Reader, text);

    /// <summary>The next line of standard error that has a text in it.</summary>
    public Task<string> ErrorLineAsync(string text) => FindAsync(_errors.Reader, text);

    /// <summary>The next event of that name on standard output.</summary>
    public async Task<JsonElement> EventAsync(string name) =>
        JsonDocument.Parse(await LineAsync($"\"event\":\"{name}\"")).RootElement;

    public async Task SendAsync(string line)
    {
        await Input.WriteLineAsync(line);
        await Input.FlushAsync();
    }

    public void Signal(int number) => Assert.Equal(0, Kill(_process.Id, number));

    /// <summary>Waits for the end.</summary>
    /// <returns>The lines that nobody has read, and the exit status.</returns>
    public async Task<ToolResult> EndAsync(TimeSpan? patience = null)
    {
        using var limit = new CancellationTokenSource(patience ?? Patience);
        await _process.WaitForExitAsync(limit.Token);
        return new ToolResult(_process.ExitCode, await RestAsync(_output.Reader, limit.Token), await RestAsync(_errors.Reader, limit.Token));
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    public static partial int Kill(int process, int signal);

    private static async Task PumpAsync(StreamReader from, ChannelWriter<string> to)
    {
        while (await from.ReadLineAsync() is string line)
        {
            to.TryWrite(line);
        }

        to.Complete();
    }

    private static async Task<string> FindAsync(ChannelReader<string> lines, string text)
    {
        using var limit = new CancellationTokenSource(Patience);
        var seen = new List<string>();
        try
        {
            await foreach (string line in lines.ReadAllAsync(limit.Token))
            {
                seen.Add(line);
                if (line.Contains(text, StringComparison.Ordinal))
                {
                    return line;
                }
            }
        }
        catch (OperationCanceledException)
        {
        }

        throw new Xunit.Sdk.XunitException($"no line with '{text}' came, only:\n{string.Join('\n', seen)}");
    }

    private static async Task<string[]> RestAsync(ChannelReader<string> lines, CancellationToken cancellation)
    {
        var rest = new List<string>();
        await foreach (string line in lines.ReadAllAsync(cancellation))
        {
            rest.Add(line);
        }

        return [.. rest];
    }
}
