using Penstock.Lab.Processes;

namespace Penstock.Lab.Debian;

/// <summary>
/// apt for one architecture with its own lists and an empty package database, in the cache folder: it sees the whole
/// dependency closure of a package, needs no rights, and neither reads nor changes what is installed here.
/// </summary>
internal sealed class PrivateApt
{
    /// <summary>The mirror has answered: a download that falters now is worth more time than the question whether there is one.</summary>
    private static readonly string[] Patient = ["-o", "Acquire::Retries=5", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30"];

    private readonly string _folder;
    private readonly string _packages;
    private readonly string _log;
    private readonly string _architecture;
    private readonly LabEnvironment _environment;
    private readonly IProgress<LabProgress>? _progress;
    private readonly string _aptGet;
    private readonly IReadOnlyList<string> _assumed;

    /// <summary>apt for an architecture; it behaves as if the packages <paramref name="assumed"/> were installed.</summary>
    public PrivateApt(
        string cacheFolder, string architecture, LabEnvironment environment, IProgress<LabProgress>? progress, IReadOnlyList<string> assumed)
    {
        _assumed = assumed;
        _folder = Path.Combine(cacheFolder, "apt", architecture);
        _packages = Path.Combine(cacheFolder, "packages");
        _log = Path.Combine(cacheFolder, "apt.log");
        _architecture = architecture;
        _environment = environment;
        _progress = progress;
        _aptGet = environment.RequireProgram("apt-get", "to fetch from Debian", "apt");
    }

    /// <summary>Whether the last run of apt waited in vain for an answer: then it is not worth while to try again at once.</summary>
    public bool IsSilent { get; private set; }

    private string UpdatedStamp => Path.Combine(_folder, "updated");

    private string AssumedStatus => Path.Combine(_folder, "status-assumed");

    /// <summary>Fetches the package lists, unless they are there; <paramref name="again"/> fetches them in any case.</summary>
    public async Task UpdateAsync(bool again, CancellationToken cancellation)
    {
        if (File.Exists(UpdatedStamp) && !again)
        {
            return;
        }

        Directory.CreateDirectory(_folder);
        File.Delete(UpdatedStamp);
        await ConfigureAsync(cancellation).ConfigureAwait(false);
        _progress?.Report(new LabProgress($"package lists for {_architecture}"));
        var result = await RunAsync(["-o", "Acquire::Retries=0", "update"], cancellation).ConfigureAwait(false);
        if (!HasSuite(DebianSuites.Stable) && !IsSilent)
        {
            // A mirror in the middle of its own update is a matter of moments; for one that does not answer apt has waited long enough.
            result = await RunAsync(["-o", "Acquire::Retries=0", "update"], cancellation).ConfigureAwait(false);
        }

        if (!HasSuite(DebianSuites.Stable))
        {
            throw Failed($"cannot fetch Debian's package lists for {_architecture}", result);
        }

        await File.WriteAllTextAsync(UpdatedStamp, "", cancellation).ConfigureAwait(false);
    }

    /// <summary>Whether the suite's list has arrived: a mirror may lack one suite of one architecture while it synchronises.</summary>
    public bool HasSuite(string suite)
    {
        var lists = Path.Combine(_folder, "lists");
        return Directory.Exists(lists) && Directory.EnumerateFiles(lists, $"*_dists_{suite}_main_binary-{_architecture}_Packages*").Any();
    }

    /// <summary>Everything that installing the package would fetch.</summary>
    public async Task<IReadOnlyList<AptPackage>> ClosureAsync(string suite, string package, CancellationToken cancellation)
    {
        if (_assumed.Count > 0)
        {
            await File.WriteAllTextAsync(AssumedStatus, string.Concat(_assumed.Select(Installed)), cancellation).ConfigureAwait(false);
        }

        // apt leaves out what is downloaded already, so it is shown an archive folder without anything.
        var result = await RunAsync(
            ["-o", $"Dir::Cache::archives={_folder}/none", .. Status, "install", "--print-uris", "--yes", "--target-release", suite, package],
            cancellation).ConfigureAwait(false);
        var found = AptPackage.ParseUris(result.Output);
        if (result.ExitCode != 0 && IsUnknown(result, package))
        {
            throw new LabException(
                $"Debian's {suite} has no package {package} for {_architecture} (section main); correct the name, or look at packages.debian.org for what is there");
        }

        return result.ExitCode == 0 && found.Count > 0
            ? found
            : throw Failed($"cannot work out what {package} for {_architecture} needs from {suite}", result);
    }

    /// <summary>
    /// Downloads what installing the package would fetch, as far as it is not there yet. apt itself continues
    /// half files, checks whole ones against Debian's signed lists, and only then gives them their names.
    /// </summary>
    public async Task DownloadAsync(
        string step, string suite, string package, IReadOnlyList<AptPackage> closure, CancellationToken cancellation)
    {
        if (!closure.All(p => File.Exists(FileOf(p))))
        {
            Directory.CreateDirectory(Path.Combine(_packages, "partial"));
            using var watching = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            var watch = WatchAsync(step, closure, watching.Token);
            var result = await RunAsync(
                [.. Patient, .. Status, "install", "--download-only", "--yes", "--target-release", suite, package], cancellation).ConfigureAwait(false);
            await watching.CancelAsync().ConfigureAwait(false);
            await watch.ConfigureAwait(false);
            if (result.ExitCode != 0 || !closure.All(p => File.Exists(FileOf(p))))
            {
                throw Failed($"cannot download {step}", result);
            }
        }

        var total = closure.Sum(p => p.Size);
        _progress?.Report(new LabProgress(step, total, total));
    }

    /// <summary>Where a downloaded package is.</summary>
    public string FileOf(AptPackage package) => Path.Combine(_packages, package.FileName);

    private string[] Status => _assumed.Count > 0 ? ["-o", "Dir::State::status=" + AssumedStatus] : [];

    /// <summary>A package as dpkg's database shows it, newer than any.</summary>
    private static string Installed(string package) => $"""
        Package: {package}
        Status: install ok installed
        Architecture: all
        Multi-Arch: foreign
        Maintainer: none
        Version: 99999
        Description: none


        """;

    private static bool IsUnknown(ToolResult result, string package) => result.Errors.Split('\n').Any(line =>
        line.StartsWith("E: ", StringComparison.Ordinal)
        && line.EndsWith(' ' + package, StringComparison.Ordinal)
        && line.Contains("Unable to locate package", StringComparison.Ordinal));

    private async Task WatchAsync(string step, IReadOnlyList<AptPackage> closure, CancellationToken cancellation)
    {
        static long Length(string path) => new FileInfo(path) is { Exists: true } file ? file.Length : 0;
        var total = closure.Sum(p => p.Size);
        while (!cancellation.IsCancellationRequested)
        {
            var done = closure.Sum(p => Math.Max(Length(FileOf(p)), Length(Path.Combine(_packages, "partial", p.FileName))));
            _progress?.Report(new LabProgress(step, done, total));
            await Task.Delay(250, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task ConfigureAsync(CancellationToken cancellation)
    {
        var sources = AptSources.Read(_environment.AptFolder);
        var mirror = AptSources.DebianArchive(sources) ?? throw new LabException(
            $"there is no Debian archive among the apt sources in {_environment.AptFolder}, so the lab has nowhere to fetch from; "
            + DebianFetch.NameThemYourself);
        foreach (var folder in (string[])["lists/partial", "none/partial", "empty"])
        {
            Directory.CreateDirectory(Path.Combine(_folder, folder));
        }

        Directory.CreateDirectory(Path.Combine(_packages, "partial"));
        await File.WriteAllTextAsync(Path.Combine(_folder, "status"), "", cancellation).ConfigureAwait(false);
        var options = mirror.SignedBy is { } key && File.Exists(key) ? $"[signed-by={key}] " : "";
        await File.WriteAllTextAsync(
            Path.Combine(_folder, "sources.list"),
            string.Concat(((string[])[DebianSuites.Stable, DebianSuites.Backports]).Select(s => $"deb {options}{mirror.Uri} {s} main\n")),
            cancellation).ConfigureAwait(false);
        var settings = $$"""
            APT::Architecture "{{_architecture}}";
            APT::Architectures { "{{_architecture}}"; };
            APT::Install-Recommends "false";
            APT::Sandbox::User "root";
            Acquire::Languages "none";
            Acquire::Retries "2";
            Acquire::http::Timeout "10";
            Acquire::https::Timeout "10";
            Dir::State "{{_folder}}";
            Dir::State::lists "{{_folder}}/lists";
            Dir::State::status "{{_folder}}/status";
            Dir::Cache "{{_folder}}";
            Dir::Cache::archives "{{_packages}}";
            APT::Keep-Downloaded-Packages "true";
            Dir::Etc::main "{{_folder}}/empty/none";
            Dir::Etc::parts "{{_folder}}/empty";
            Dir::Etc::sourcelist "{{_folder}}/sources.list";
            Dir::Etc::sourceparts "{{_folder}}/empty";
            Dir::Etc::preferences "{{_folder}}/empty/none";
            Dir::Etc::preferencesparts "{{_folder}}/empty";
            Debug::NoLocking "true";

            """;
        settings += await NetworkSettingsAsync(cancellation).ConfigureAwait(false);
        var file = Path.Combine(_folder, "apt.conf");
        await File.WriteAllTextAsync(file, settings, cancellation).ConfigureAwait(false);
        // A proxy's address may carry a password.
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    /// <summary>How this machine's apt reaches the network (proxies, certificates): the only settings taken over.</summary>
    private async Task<string> NetworkSettingsAsync(CancellationToken cancellation)
    {
        if (_environment.FindProgram("apt-config") is not { } aptConfig)
        {
            return "";
        }

        var dump = await Tool.RunAsync(aptConfig, ["dump", "--format", "%F \"%v\";%n"], _environment, cancellation).ConfigureAwait(false);
        return string.Concat(dump.Output.Split('\n')
            .Where(l => l.StartsWith("Acquire::http", StringComparison.OrdinalIgnoreCase) && !l.EndsWith(" \"\";", StringComparison.Ordinal))
            .Select(l => l + "\n"));
    }

    private async Task<ToolResult> RunAsync(IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        var result = await Tool.RunAsync(
            _aptGet,
            ["-q", .. arguments],
            _environment,
            cancellation,
            variables: new Dictionary<string, string> { ["APT_CONFIG"] = Path.Combine(_folder, "apt.conf") }).ConfigureAwait(false);
        IsSilent = ((string[])["timed out", "Connection failed"]).Any(
            words => (result.Errors + result.Output).Contains(words, StringComparison.Ordinal));
        await File.AppendAllTextAsync(
            _log,
            $"--- apt-get {string.Join(' ', arguments)} ({_architecture}): exit status {result.ExitCode}\n{result.Output}{result.Errors}",
            cancellation).ConfigureAwait(false);
        return result;
    }

    private LabException Failed(string what, ToolResult result)
    {
        var reason = (result.Errors + result.Output).Split('\n').FirstOrDefault(l => l.StartsWith("E: ", StringComparison.Ordinal))?[3..].Trim()
            ?? (result.Errors + result.Output).Split('\n').Select(l => l.Trim()).FirstOrDefault(l => l.StartsWith("W: ", StringComparison.Ordinal))?[3..]
            ?? $"apt-get ended with exit status {result.ExitCode}";
        return new LabException(
            $"{what}: {reason.TrimEnd('.')}; check the network and this machine's apt sources, then try again. Details: {_log}");
    }
}
