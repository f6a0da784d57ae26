using System.Diagnostics;
using System.Threading.Channels;
using Xunit.Sdk;

namespace Penstock.Guests.Tests;

/// <summary><c>penstock serve</c> as a process of its own, spoken to through its standard streams.</summary>
internal sealed class ServedCommand : IAsyncDisposable
{
    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(6);

    private readonly Process _process;
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();

    private ServedCommand(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, e) =>
        {
            if (e.Data is null)
            {
                _lines.Writer.TryComplete();
            }
            else
            {
                _lines.Writer.TryWrite(e.Data);
            }
        };
        process.BeginOutputReadLine();
    }

    public static ServedCommand Start(params string[] arguments)
    {
        string program = WorkingCopy.Program;
        Assert.True(File.Exists(program), $"{program} is not there; build the solution first");
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.ArgumentList.Add("serve");
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return new ServedCommand(Process.Start(start)!);
    }

    /// <summary>Processor time that it has taken so far.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Reads what is printed for a QEMU: its arguments last, before them what must be started first.</summary>
    public async Task<IReadOnlyList<string>> ReadArgumentsAsync(string program)
    {
        await WaitForAsync(line => line.StartsWith(program, StringComparison.Ordinal), $"the arguments for {program}");
        var lines = new List<string>();
        await WaitForAsync(
            line =>
            {
                lines.Add(line.Trim());
                return line.Length == 0;
            },
            "an empty line");
        lines.RemoveAt(lines.Count - 1);
        return lines;
    }

    /// <summary>Kills it with SIGKILL and waits until it is gone.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync().WaitAsync(StepTime);
    }

    /// <summary>Stops it for a moment, so that what it is sent meanwhile stays unread, and kills it.</summary>
    public async Task KillWithMessagesUnreadAsync(TimeSpan moment)
    {
        using (Process stop = Process.Start("/bin/sh", ["-c", $"kill -STOP {_process.Id}"]))
        {
            await stop.WaitForExitAsync();
            Assert.Equal(0, stop.ExitCode);
        }

        await Task.Delay(moment);
        await KillAsync();
    }

    /// <summary>Gives a command of the device's console.</summary>
    public async Task SayAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    /// <summary>Waits for a line of its output and passes over those before.</summary>
    public async Task<string> WaitForAsync(Predicate<string> fits, string what)
    {
        using var limit = new CancellationTokenSource(StepTime);
        var passed = new List<string>();
        try
        {
            while (true)
            {
                string line = await _lines.Reader.ReadAsync(limit.Token);
                if (fits(line))
                {
                    return line;
                }

                passed.Add(line);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
        {
            throw new XunitException($"penstock serve did not say {what}, but:\n{string.Join('\n', passed)}");
        }
    }

    public Task<string> WaitForAsync(string line) => WaitForAsync(l => l == line, $"'{line}'");

    public async Task<int> WaitForExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(StepTime);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }
}
