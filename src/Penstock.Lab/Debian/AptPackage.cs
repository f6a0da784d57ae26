using System.Globalization;

namespace Penstock.Lab.Debian;

/// <summary>A package file that apt would fetch, as <c>apt-get --print-uris</c> tells it.</summary>
internal sealed record AptPackage(string FileName, long Size)
{
    /// <summary>The file is called <c>NAME_VERSION_ARCHITECTURE.deb</c>, the version's colon written as <c>%3a</c>.</summary>
    public string Name => FileName.Split('_')[0];

    public string Version => FileName.Split('_')[1].Replace("%3a", ":", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads lines such as <c>'http://…/x.deb' x_1%3a2_all.deb 123 MD5Sum:…</c>; other lines are not packages.</summary>
    public static IReadOnlyList<AptPackage> ParseUris(string output)
    {
        var packages = new List<AptPackage>();
        foreach (var line in output.Split('\n'))
        {
            if (line.StartsWith('\'')
                && line[(line.LastIndexOf('\'') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var file, var size, ..]
                && file.Split('_').Length == 3
                && !file.Contains('/', StringComparison.Ordinal)
                && long.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes))
            {
                packages.Add(new AptPackage(file, bytes));
            }
        }

        return packages;
    }
}
