namespace Penstock.Lab;

/// <summary>The process environment as the lab sees it; tests hand in their own.</summary>
internal sealed class LabEnvironment(Func<string, string?> variable, string aptFolder = "/etc/apt")
{
    public static LabEnvironment OfProcess { get; } = new(Environment.GetEnvironmentVariable);

    /// <summary>Where this machine keeps its apt sources.</summary>
    public string AptFolder { get; } = aptFolder;

    public string SearchPath => Variable("PATH") ?? "/usr/bin:/bin";

    /// <summary>The variable's value; empty counts as unset, as everywhere in shells.</summary>
    public string? Variable(string name) => variable(name) is { Length: > 0 } value ? value : null;

    /// <summary>The variable with the architecture's suffix, else the plain one.</summary>
    public string? Variable(string name, GuestPlatform platform) =>
        Variable(name + "_" + platform.Name.ToUpperInvariant()) ?? Variable(name);

    /// <summary>The full path of a program on the PATH, or null.</summary>
    public string? FindProgram(string name)
    {
        foreach (var folder in SearchPath.Split(':', StringSplitOptions.RemoveEmptyEntries))
        {
            var candidate = Path.Combine(folder, name);
            if (File.Exists(candidate) && (File.GetUnixFileMode(candidate) & UnixFileMode.UserExecute) != 0)
            {
                return candidate;
            }
        }

        return null;
    }

    /// <summary>The full path of a tool that the lab cannot do without.</summary>
    /// <exception cref="LabException">It is not on the PATH.</exception>
    public string RequireProgram(string name, string purpose, string package) => FindProgram(name) ?? throw new LabException(
        $"{name} is needed {purpose} and is not on the PATH; install it (apt-get install {package}) and try again");

    public string CacheFolder(LabOptions options)
    {
        if ((options.CacheFolder ?? Variable("PENSTOCK_LAB")) is { Length: > 0 } named)
        {
            return Path.GetFullPath(named);
        }

        // The XDG base directory rules: a relative value is to be ignored.
        var cache = Variable("XDG_CACHE_HOME");
        if (cache is null || !Path.IsPathRooted(cache))
        {
            var home = Variable("HOME") ?? throw new LabException(
                "there is no folder for the VM lab: neither PENSTOCK_LAB nor HOME is set; set PENSTOCK_LAB to a folder that may grow to 1 GB");
            cache = Path.Combine(home, ".cache");
        }

        return Path.Combine(cache, "penstock", "lab");
    }
}
