using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Penstock.Lab.Initramfs;
using Penstock.Lab.Kernel;
using Penstock.Lab.Processes;
using Penstock.Lab.Qemu;

namespace Penstock.Lab;

/// <summary>
/// A running guest. Its QEMU ends with this object, with this process (also when that is killed), with its time, or by
/// itself, whichever is first. All members may be called from any thread.
/// </summary>
public sealed class Guest : IAsyncDisposable
{
    // sun_path of <linux/un.h> less its ending zero.
    private const int MaxSocketPath = 107;

    private readonly SupervisedProcess _process;
    private readonly GuestConsole _console;
    private readonly QmpClient _qmp;
    private readonly CancellationTokenSource _timer = new();
    private readonly Task<GuestResult> _end;
    private readonly Stopwatch _clock;
    private int _disposed;

    private Guest(SupervisedProcess process, GuestConsole console, Task consoleReader, QmpClient qmp, Stopwatch clock, TimeSpan timeout)
    {
        _process = process;
        _console = console;
        _qmp = qmp;
        _clock = clock;
        _end = EndAsync(consoleReader, timeout);
    }

    /// <summary>Everything that the console has shown so far; lines end in <c>\n</c>.</summary>
    public string ConsoleText => _console.Text;

    /// <summary>Starts a guest and returns once QEMU has made all its devices and lets the guest run.</summary>
    /// <param name="lab">What it boots with.</param>
    /// <param name="configuration">What it is and does.</param>
    /// <param name="cancellation">Cancels the start; a guest that was started later has to be disposed of.</param>
    /// <returns>The running guest; dispose of it.</returns>
    /// <exception cref="LabException">QEMU refuses (its own words are in the text), or a module or package is not in the lab.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; no process is left.</exception>
    public static async Task<Guest> StartAsync(VmLab lab, GuestConfiguration configuration, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(lab);
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentOutOfRangeException.ThrowIfLessThan(configuration.MemoryMegabytes, 1, nameof(configuration));
        Check(lab, configuration);
        var folder = TemporaryFolder();
        SupervisedProcess? process = null;
        var console = new GuestConsole(configuration.ConsoleSink ?? (_ => { }));
        QmpClient? qmp = null;
        try
        {
            var initrd = Path.Combine(folder, "initrd");
            if (!configuration.BootsFromDisk)
            {
                WriteInitrd(lab, configuration, initrd);
            }

            using var consoleListener = Listen(Path.Combine(folder, "console"));
            using var qmpListener = Listen(Path.Combine(folder, "qmp"));
            var arguments = QemuArguments.Compose(lab, configuration, initrd, Path.Combine(folder, "console"), Path.Combine(folder, "qmp"));
            var clock = Stopwatch.StartNew();
            process = SupervisedProcess.Start(lab.QemuPath, arguments, folderToRemove: folder);
            using var starting = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            starting.CancelAfter(configuration.Timeout);
            var consoleSocket = await WhileAliveAsync(process, consoleListener.AcceptAsync(starting.Token).AsTask()).ConfigureAwait(false);
            var reader = console.ReadAsync(consoleSocket);
            qmp = new QmpClient(await WhileAliveAsync(process, qmpListener.AcceptAsync(starting.Token).AsTask()).ConfigureAwait(false));
            await WhileAliveAsync(process, NegotiateAsync(qmp, starting.Token)).ConfigureAwait(false);
            return new Guest(process, console, reader, qmp, clock, configuration.Timeout);
        }
        catch (Exception e)
        {
            qmp?.Dispose();
            if (process is not null)
            {
                await process.DisposeAsync().ConfigureAwait(false);
            }

            console.Dispose();
            RemoveFolder(folder);
            // QEMU may have ended of the same Ctrl-C.
            cancellation.ThrowIfCancellationRequested();
            if (process is not null && e is IOException or LabException or OperationCanceledException)
            {
                throw new LabException(NotStarted(lab, process, e is OperationCanceledException), e);
            }

            throw;
        }
    }

    /// <summary>Starts a guest and waits for its end.</summary>
    /// <param name="lab">What it boots with.</param>
    /// <param name="configuration">What it is and does.</param>
    /// <param name="cancellation">Kills the guest.</param>
    /// <returns>How it ended; a guest out of time is a result, not an exception.</returns>
    /// <exception cref="LabException">As for <see cref="StartAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; no process is left.</exception>
    public static async Task<GuestResult> RunAsync(VmLab lab, GuestConfiguration configuration, CancellationToken cancellation = default)
    {
        await using var guest = await StartAsync(lab, configuration, cancellation).ConfigureAwait(false);
        return await guest.WaitForExitAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>Waits until QEMU has ended.</summary>
    /// <param name="cancellation">Ends the waiting; the guest runs on.</param>
    /// <returns>How the guest ended.</returns>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public Task<GuestResult> WaitForExitAsync(CancellationToken cancellation = default) => _end.WaitAsync(cancellation);

    /// <summary>
    /// Waits for a complete console line that contains the text. Lines that an earlier wait has passed are not looked at
    /// again; so two waits for the same text need two lines.
    /// </summary>
    /// <param name="text">What the line must contain.</param>
    /// <param name="timeout">How long to wait at most.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>The whole line.</returns>
    /// <exception cref="LabException">The time was over or the guest ended first; the text shows the console's last lines.</exception>
    public Task<string> WaitForLineAsync(string text, TimeSpan timeout, CancellationToken cancellation = default) =>
        _console.WaitForLineAsync($"'{text}'", line => line.Contains(text, StringComparison.Ordinal), timeout, cancellation);

    /// <summary>As <see cref="WaitForLineAsync(string, TimeSpan, CancellationToken)"/>, for a pattern.</summary>
    /// <param name="pattern">What the line must match.</param>
    /// <param name="timeout">How long to wait at most.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>The whole line.</returns>
    /// <exception cref="LabException">The time was over or the guest ended first.</exception>
    public Task<string> WaitForLineAsync(Regex pattern, TimeSpan timeout, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(pattern);
        return _console.WaitForLineAsync($"a line that matches '{pattern}'", pattern.IsMatch, timeout, cancellation);
    }

    /// <summary>Types a line on the guest's console, for a script that does <c>read</c>. It is not echoed.</summary>
    /// <param name="line">The line without its end.</param>
    /// <param name="cancellation">Ends the sending.</param>
    /// <returns>Ends when the line is on its way.</returns>
    /// <exception cref="LabException">The guest has ended.</exception>
    public Task SendLineAsync(string line, CancellationToken cancellation = default) => _console.SendLineAsync(line, cancellation);

    /// <summary>Gives QEMU a command of its machine protocol (QMP) and waits for the answer; commands run one after the other.</summary>
    /// <param name="command">The command's name, such as <c>system_reset</c>, or a whole JSON object with <c>execute</c> and <c>arguments</c>.</param>
    /// <param name="cancellation">Ends the waiting; the connection is of no use afterwards.</param>
    /// <returns>The answer's <c>return</c> member.</returns>
    /// <exception cref="LabException">QEMU refuses the command or has ended.</exception>
    public Task<JsonElement> QmpAsync(string command, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(command);
        return _qmp.ExecuteAsync(command.TrimStart().StartsWith('{') ? command.ReplaceLineEndings(" ") : $$"""{"execute":"{{command}}"}""", cancellation);
    }

    /// <summary>Ends QEMU at once and waits until it is gone.</summary>
    /// <returns>Ends when no process is left.</returns>
    public async Task KillAsync()
    {
        await _process.KillAsync().ConfigureAwait(false);
        await _end.ConfigureAwait(false);
    }

    /// <summary>Ends QEMU if it still runs, and removes the guest's temporary files.</summary>
    /// <returns>Ends when no process is left.</returns>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await KillAsync().ConfigureAwait(false);
        await _process.DisposeAsync().ConfigureAwait(false);
        _qmp.Dispose();
        _console.Dispose();
        _timer.Dispose();
    }

    private static async Task<bool> NegotiateAsync(QmpClient qmp, CancellationToken cancellation)
    {
        await qmp.NegotiateAsync(cancellation).ConfigureAwait(false);
        return true;
    }

    /// <summary>Waits for a step of the start, unless QEMU ends before it is done.</summary>
    private static async Task<T> WhileAliveAsync<T>(SupervisedProcess process, Task<T> step)
    {
        if (await Task.WhenAny(step, process.Exit).ConfigureAwait(false) == step)
        {
            return await step.ConfigureAwait(false);
        }

        _ = step.ContinueWith(s => s.Exception, TaskScheduler.Default);
        throw new IOException("QEMU ended");
    }

    private static string NotStarted(VmLab lab, SupervisedProcess process, bool late)
    {
        var said = (process.Errors + process.Output).Trim();
        return late
            ? $"QEMU ({lab.QemuPath}) did not get ready in the guest's time{(said.Length > 0 ? ": " + said : "")}; see that what its devices connect to answers"
            : $"QEMU ({lab.QemuPath}) ended before the guest ran: {(said.Length > 0 ? said : "it said nothing")}; correct the guest's devices or arguments"
                + (lab.KernelIsNamed
                    ? $", or name another kernel: {lab.KernelPath} (KernelPath or PENSTOCK_KERNEL) may be none that QEMU can boot for {lab.Platform.Name}"
                    : "");
    }

    private static void Check(VmLab lab, GuestConfiguration configuration)
    {
        if (configuration.BootsFromDisk && (configuration.Script.Length > 0 || configuration.KernelArguments.Length > 0
            || configuration.Files.Count + configuration.Modules.Count + configuration.Packages.Count > 0))
        {
            throw new LabException(
                "a guest that boots from its own disks has none of the lab's Linux, which a script, files, modules, packages and kernel arguments are for; "
                + "leave them out or let BootsFromDisk be false");
        }

        if (configuration.Modules.FirstOrDefault(m =>
                !lab.Modules.Contains(ModuleInfo.Canonical(m)) && !lab.BuiltInModules.Contains(ModuleInfo.Canonical(m))) is { } absent)
        {
            throw new LabException(
                $"kernel module {absent} is not in the lab for {lab.Platform.Name} guests (kernel {lab.KernelRelease ?? "without modules"}); "
                + "add it to LabOptions.ExtraModules and prepare the lab again, and check its name");
        }

        if (configuration.Packages.FirstOrDefault(p => !lab.PackageArchives.ContainsKey(p)) is { } package)
        {
            throw new LabException(
                $"package {package} is not in the lab for {lab.Platform.Name} guests; add it to LabOptions.GuestPackages and prepare the lab again");
        }
    }

    private static void WriteInitrd(VmLab lab, GuestConfiguration configuration, string path)
    {
        File.Copy(lab.InitramfsPath, path);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        using var output = new FileStream(path, FileMode.Append);
        foreach (var package in configuration.Packages.SelectMany(p => lab.PackageArchives[p]).Distinct())
        {
            using var content = File.OpenRead(package);
            content.CopyTo(output);
        }

        var archive = BaseInitramfs.Overlay(output);
        archive.AddFile("init", GuestFile.Executable, Embedded.Bytes("guest/init.sh"));
        var loaded = configuration.Modules.Where(m => lab.Modules.Contains(ModuleInfo.Canonical(m)));
        archive.AddFile("lab/modules", GuestFile.Readable, Encoding.UTF8.GetBytes(string.Join('\n', loaded)));
        archive.AddFile("lab/script", GuestFile.Executable, Encoding.UTF8.GetBytes(configuration.Script.ReplaceLineEndings("\n")));
        if (configuration.Packages.Count > 0)
        {
            archive.AddFile("lab/packages", GuestFile.Readable, Encoding.UTF8.GetBytes(string.Join('\n', configuration.Packages)));
        }

        foreach (var file in configuration.Files)
        {
            using var content = file.Open();
            archive.AddFile(file.Path, file.Mode, content, content.Length);
        }

        archive.Complete();
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen(1);
        return socket;
    }

    /// <summary>A folder of mode 0700 whose socket paths are short enough.</summary>
    private static string TemporaryFolder()
    {
        // TMPDIR may name a folder that is not there, or one too deep for a socket's path.
        string folder;
        if (Directory.Exists(Path.GetTempPath()))
        {
            folder = Directory.CreateTempSubdirectory("penstock-guest-").FullName;
            if (Encoding.UTF8.GetByteCount(Path.Combine(folder, "console")) <= MaxSocketPath)
            {
                return folder;
            }

            Directory.Delete(folder);
        }

        folder = Path.Combine("/tmp", "penstock-guest-" + Path.GetRandomFileName());
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return folder;
    }

    private static void RemoveFolder(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (DirectoryNotFoundException)
        {
            // The supervisor was quicker.
        }
    }

    private async Task<GuestResult> EndAsync(Task consoleReader, TimeSpan timeout)
    {
        var timedOut = false;
        var remaining = timeout - _clock.Elapsed;
        var limit = Task.Delay(remaining > TimeSpan.Zero ? remaining : TimeSpan.Zero, _timer.Token);
        if (await Task.WhenAny(_process.Exit, limit).ConfigureAwait(false) == limit)
        {
            timedOut = true;
            await _process.KillAsync().ConfigureAwait(false);
        }

        await _timer.CancelAsync().ConfigureAwait(false);
        await _process.Exit.ConfigureAwait(false);
        var elapsed = _clock.Elapsed;
        await consoleReader.ConfigureAwait(false);
        var said = (_process.Errors + _process.Output).Trim();
        return new GuestResult(_console.ExitStatus, timedOut, _console.Text, elapsed, said.Length > 0 ? said : null);
    }
}
