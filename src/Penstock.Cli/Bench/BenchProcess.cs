using System.ComponentModel;
using System.Diagnostics;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A child process of a benchmark, ended with it.</summary>
internal sealed class BenchProcess : IDisposable
{
    private static readonly TimeSpan Patience = OwnPeers.Time;
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);

    private readonly Process _process;
    private readonly string _name;
    private readonly Task<string> _output;
    private readonly Task<string> _errors;

    /// <summary>Starts a program.</summary>
    /// <exception cref="IOException">It cannot be started.</exception>
    public BenchProcess(string program, IReadOnlyList<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // It ends by being killed, and would leave the sockets of the runtime's diagnostics in the temporary folder.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        try
        {
            _process = Process.Start(start)!;
        }
        catch (Win32Exception refused)
        {
            throw new IOException($"'{program}' cannot be started ({refused.NativeErrorCode switch
            {
                13 => "it is no program, or this user may not run it",
                _ => "the system refuses it",
            }}); name a program that 'make -C bench' has built", refused);
        }

        _name = Path.GetFileName(program);
        _output = _process.StandardOutput.ReadToEndAsync();
        _errors = _process.StandardError.ReadToEndAsync();
    }

    /// <summary>Starts a program on a processor: it runs where the thread does that starts it.</summary>
    /// <exception cref="IOException">It cannot be started.</exception>
    public static BenchProcess StartOn(int processor, string program, IReadOnlyList<string> arguments) => Task.Factory.StartNew(
        () =>
        {
            ProcessPlacement.PinCurrentThread(processor);
            return new BenchProcess(program, arguments);
        },
        CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).GetAwaiter().GetResult();

    /// <summary>Keeps the program from running while another one is measured.</summary>
    public void Pause() => Send(ProcessControl.Stop);

    /// <summary>Lets it run again.</summary>
    public void Resume() => Send(ProcessControl.Continue);

    /// <summary>Connects to the program as soon as it listens. Its socket may be there before it does.</summary>
    /// <exception cref="IOException">It does not within a minute, or it ended by itself.</exception>
    public T Connect<T>(string socket, Func<T> connect)
    {
        long started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < Patience && !_process.HasExited)
        {
            try
            {
                return connect();
            }
            catch (Exception early) when (early is SystemCallException { Errno: Errno.ENOENT or Errno.ECONNREFUSED } or VfioException { Errno: Errno.ENOENT or Errno.ECONNREFUSED })
            {
                Thread.Sleep(1);
            }
        }

        RequireRunningAsync().GetAwaiter().GetResult();
        throw new IOException($"{_name} does not listen on {socket}");
    }

    /// <summary>Waits for the program's end, or for the end of the server that it uses: without that it would only wait.</summary>
    /// <returns>What it printed on standard output.</returns>
    /// <exception cref="IOException">One of the two failed; the message has its own words.</exception>
    public async Task<string> WaitAsync(BenchProcess server, CancellationToken cancellation)
    {
        Task end = _process.WaitForExitAsync(cancellation);
        if (await Task.WhenAny(end, server._process.WaitForExitAsync(cancellation)) != end)
        {
            // A server that ends with its client may come first.
            await Task.WhenAny(end, Task.Delay(Grace, cancellation));
        }

        cancellation.ThrowIfCancellationRequested();
        if (!_process.HasExited)
        {
            throw await server.FailureAsync();
        }

        return _process.ExitCode == 0 ? await _output : throw await FailureAsync();
    }

    /// <summary>Throws when the program is no longer there.</summary>
    /// <exception cref="IOException">It ended by itself; the message has its own words.</exception>
    public async Task RequireRunningAsync()
    {
        if (_process.HasExited)
        {
            throw await FailureAsync();
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    private void Send(Action<int> control)
    {
        if (!_process.HasExited)
        {
            control(_process.Id);
        }
    }

    private async Task<IOException> FailureAsync()
    {
        string words = (await _errors).Trim();
        return new IOException($"{_name} ended with status {_process.ExitCode}: {(words.Length == 0 ? "it said nothing" : words)}");
    }
}
