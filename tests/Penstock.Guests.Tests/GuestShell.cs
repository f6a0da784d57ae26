using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using System.Threading.Channels;
using Penstock.Lab;
using Xunit.Sdk;

namespace Penstock.Guests.Tests;

/// <summary>
/// A guest whose shell does one line after the other that the test gives it. Variables and functions stay from line to line, until the
/// guest restarts.
/// </summary>
internal sealed partial class GuestShell : IAsyncDisposable
{
    private const string Said = "guest-shell| ";

    // Of a failure's text ./test shows so many.
    private const int ShownLines = 10;
    private const int EarlierLines = 20;

    // The kernel's own messages would come in the middle of the lines, and a disk that has gone would become a file of its name.
    private const string Script = """
        dmesg -n 1
        mount -o remount,bind,ro none /dev || exit 1
        echo "guest-shell: ready"
        while read -r line; do
          eval "$line" < /dev/null > /tmp/said 2>&1
          status=$?
          awk '{ print "guest-shell| " $0 }' /tmp/said
          [ $status = 0 ] || dmesg | tail -n 12
          echo "guest-shell: $status"
        done
        """;

    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(6);

    private readonly Guest _guest;
    private readonly Channel<string> _console;

    private GuestShell(Guest guest, Channel<string> console)
    {
        _guest = guest;
        _console = console;

        // The guest's end comes after the last console line was told.
        _ = guest.WaitForExitAsync().ContinueWith(_ => console.Writer.TryComplete(), TaskScheduler.Default);
    }

    /// <summary>How long a guest of a test may live: an idle machine needs a tenth of it.</summary>
    public static TimeSpan GuestTime { get; } = TimeSpan.FromMinutes(12);

    /// <summary>Kernel arguments: a host that stands still for long is no fault of the guest's.</summary>
    public static string QuietKernel => "nowatchdog rcupdate.rcu_cpu_stall_suppress=1";

    /// <summary>The guest itself.</summary>
    public Guest Guest => _guest;

    /// <summary>Starts a guest and waits until its shell is there.</summary>
    public static async Task<GuestShell> StartAsync(VmLab lab, GuestConfiguration configuration)
    {
        var console = Channel.CreateUnbounded<string>();
        Guest guest = await Guest.StartAsync(lab, configuration with
        {
            Script = Script,
            Timeout = GuestTime,
            KernelArguments = $"{configuration.KernelArguments} {QuietKernel}".Trim(),
            Files = [.. configuration.Files, GuestPrograms.NvmeDisk(), .. Programs(lab.Architecture)],
            ConsoleSink = line => console.Writer.TryWrite(line),
        });
        var shell = new GuestShell(guest, console);
        try
        {
            await shell.WaitUntilReadyAsync();
            return shell;
        }
        catch
        {
            await guest.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits for the shell, at the start or after a restart.</summary>
    public async Task WaitUntilReadyAsync()
    {
        while (Verdict().Match(await ReadAsync("its shell")) is not { Success: true, Groups: [_, { Value: "ready" }] })
        {
        }
    }

    /// <summary>Runs one line of shell; it must succeed.</summary>
    /// <returns>The lines it wrote.</returns>
    public async Task<IReadOnlyList<string>> RunAsync(string line)
    {
        await _guest.SendLineAsync(line);
        var said = new List<string>();
        while (true)
        {
            string text = await ReadAsync(line);
            if (text.StartsWith(Said, StringComparison.Ordinal))
            {
                said.Add(text[Said.Length..]);
            }
            else if (Verdict().Match(text) is { Success: true } verdict)
            {
                return verdict.Groups[1].Value == "0"
                    ? said
                    : throw Failure($"in the guest '{line}' gave {verdict.Groups[1].Value}, having said", string.Join(" / ", said.TakeLast(3)));
            }
        }
    }

    /// <summary>Runs one line of shell that writes one line.</summary>
    public async Task<string> AskAsync(string line) => Assert.Single(await RunAsync(line));

    /// <summary>Runs one line of shell that writes one number.</summary>
    public async Task<long> AskNumberAsync(string line) => long.Parse(await AskAsync(line), CultureInfo.InvariantCulture);

    /// <summary>Ends the shell, so that the guest does what <paramref name="ending"/> says: <c>poweroff</c> or <c>reboot</c>.</summary>
    public Task EndAsync(string ending) => _guest.SendLineAsync($"echo {ending} > /run/penstock-ending; exit 0");

    /// <summary>Powers the guest off; it must have seen no fault of its kernel.</summary>
    public async Task PowerOffAsync()
    {
        await RunAsync("! dmesg | grep -e Oops -e 'nobody cared'");
        await EndAsync("poweroff");
        GuestResult result = await _guest.WaitForExitAsync();
        Assert.False(result.TimedOut, Failure("the guest did not power off").Message);
        result.AssertSuccess();
        Assert.DoesNotContain("Oops", result.Console, StringComparison.Ordinal);
        Assert.Null(result.QemuErrors);
    }

    /// <summary>The words that a shell, one of this machine, makes of a line.</summary>
    public static async Task<string[]> WordsAsync(string line)
    {
        using var shell = new Process
        {
            StartInfo = new ProcessStartInfo("/bin/sh") { RedirectStandardOutput = true, ArgumentList = { "-c", $"printf '%s\\n' {line}" } },
        };
        shell.Start();
        string words = await shell.StandardOutput.ReadToEndAsync();
        await shell.WaitForExitAsync();
        Assert.Equal(0, shell.ExitCode);
        return words.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public ValueTask DisposeAsync() => _guest.DisposeAsync();

    private static GuestFile[] Programs(GuestArchitecture architecture) =>
        architecture == GuestArchitecture.X86_64 ? [GuestPrograms.GpioLines(architecture)] : [];

    private async Task<string> ReadAsync(string what)
    {
        using var limit = new CancellationTokenSource(StepTime);
        try
        {
            return await _console.Reader.ReadAsync(limit.Token);
        }
        catch (ChannelClosedException)
        {
            GuestResult result = await _guest.WaitForExitAsync();
            throw Failure($"the guest ended while the test waited for '{what}'", $"QEMU said: {result.QemuErrors?.ReplaceLineEndings(" / ") ?? "nothing"}");
        }
        catch (OperationCanceledException)
        {
            throw Failure($"the guest said nothing for {StepTime.TotalSeconds} s while the test waited for '{what}'", await QemuLook.AtAsync(_guest));
        }
    }

    /// <summary>What happened, and the console's end: the newest lines first of all, because <c>./test</c> shows no more than the first lines of a text.</summary>
    private XunitException Failure(params string[] what)
    {
        string head = string.Join('\n', what);
        string[] console = _guest.ConsoleText.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        int newest = ShownLines - head.Split('\n').Length;
        return new XunitException(
            $"{head}\n{string.Join('\n', console.TakeLast(newest))}\nBefore that:\n{string.Join('\n', console.SkipLast(newest).TakeLast(EarlierLines))}");
    }

    [GeneratedRegex("guest-shell: ([0-9]+|ready)$")]
    private static partial Regex Verdict();
}
