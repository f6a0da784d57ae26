using System.Diagnostics;
using System.Text;

namespace Penstock.Lab.Processes;

/// <summary>
/// A program that never outlives this process. A small shell starts it and holds the reading end of a pipe whose only writing end is
/// ours: when that closes, because we ask or because we are gone in whatever way, the shell kills the program.
/// (PR_SET_PDEATHSIG would follow the thread that started it, and pool threads end at will.)
/// </summary>
internal sealed class SupervisedProcess : IAsyncDisposable
{
    private const int MaxOutputChars = 4 << 20;

    // $1 is a folder to remove at the end, or empty; $2 the first signal. The terminal's Ctrl-C reaches this shell too: it must stay
    // to do its work. The program gets its own session, so that its own children end with it and Ctrl-C is ours to handle.
    // The watching subshell is waited for, so that nothing of all this is left when the supervisor has ended.
    // The pipe is moved off the standard input because a shell gives background jobs /dev/null there.
    private const string Supervisor = """
        trap '' INT QUIT
        folder=$1 first=$2
        shift 2
        exec 3<&0 </dev/null
        if command -v setsid >/dev/null; then
          setsid "$@" 3<&- &
        else
          "$@" 3<&- &
        fi
        program=$!
        end() { kill -s "$1" -- "-$program" || kill -s "$1" "$program"; }
        { read -r line; end "$first"; [ "$first" = KILL ] || { sleep 1; end KILL; }; } <&3 3<&- >/dev/null 2>&1 &
        watch=$!
        exec 3<&-
        wait "$program"
        status=$?
        kill -s KILL "$watch" 2>/dev/null
        wait "$watch" 2>/dev/null
        [ -z "$folder" ] || rm -rf "$folder"
        exit "$status"
        """;

    private readonly Process _process;
    private readonly Lock _input = new();
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _errors = new();
    private readonly Task _readers;
    private bool _disposed;

    private SupervisedProcess(Process process)
    {
        _process = process;
        _readers = Task.WhenAll(CollectAsync(process.StandardOutput, _output), CollectAsync(process.StandardError, _errors));
        Exit = WaitAsync();
    }

    /// <summary>Ends with the program's exit status; 128 and the signal's number when a signal ended it.</summary>
    public Task<int> Exit { get; }

    /// <summary>What the program wrote to its standard output so far; the first four million characters.</summary>
    public string Output => Text(_output);

    /// <summary>What the program wrote to its standard error so far; the first four million characters.</summary>
    public string Errors => Text(_errors);

    /// <summary>The supervising shell.</summary>
    public int SupervisorId => _process.Id;

    /// <summary>Starts a program. One to be ended <paramref name="gently"/> gets SIGTERM and, a second later, SIGKILL.</summary>
    public static SupervisedProcess Start(
        string program,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string>? variables = null,
        string? folderToRemove = null,
        bool gently = false)
    {
        var start = new ProcessStartInfo("/bin/sh")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var argument in (string[])["-c", Supervisor, "penstock-lab", folderToRemove ?? "", gently ? "TERM" : "KILL", program, .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in variables ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        try
        {
            return new SupervisedProcess(Process.Start(start)!);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new LabException($"cannot start {program}: /bin/sh does not start ({e.Message}); the lab needs a POSIX shell there", e);
        }
    }

    /// <summary>Kills the program and waits for its end.</summary>
    public async Task KillAsync()
    {
        CloseInput();
        try
        {
            await Exit.WaitAsync(TimeSpan.FromMinutes(1)).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            _process.Kill(entireProcessTree: true);
            await Exit.ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        await KillAsync().ConfigureAwait(false);
        _process.Dispose();
    }

    private async Task<int> WaitAsync()
    {
        await _process.WaitForExitAsync().ConfigureAwait(false);
        var status = _process.ExitCode;

        // When something killed the shell alone, the program still lives: this is what ends it.
        CloseInput();
        await _readers.ConfigureAwait(false);
        return status;
    }

    /// <summary>
    /// Lets the shell end the program. It is called by who asks for the end and by who sees it, at the same time perhaps: a writer is for
    /// one thread.
    /// </summary>
    private void CloseInput()
    {
        lock (_input)
        {
            try
            {
                _process.StandardInput.Close();
            }
            catch (IOException)
            {
                // The shell is gone already.
            }
        }
    }

    private static async Task CollectAsync(StreamReader reader, StringBuilder to)
    {
        var buffer = new char[4096];
        while (await reader.ReadAsync(buffer).ConfigureAwait(false) is > 0 and var count)
        {
            lock (to)
            {
                to.Append(buffer, 0, Math.Min(count, MaxOutputChars - to.Length));
            }
        }
    }

    private static string Text(StringBuilder text)
    {
        lock (text)
        {
            return text.ToString();
        }
    }
}
