namespace Penstock.Lab.Debian;

/// <summary>One archive in this machine's apt configuration.</summary>
internal sealed record AptSource(string Uri, IReadOnlyList<string> Suites, IReadOnlyList<string> Components, string? SignedBy);

/// <summary>Reads apt's sources in both of their forms, to learn which Debian mirror this machine uses.</summary>
internal static class AptSources
{
    private static readonly string[] DebianSuites =
        ["bullseye", "bookworm", "trixie", "forky", "duke", "sid", "oldstable", "stable", "testing", "unstable"];

    /// <summary>All package archives of the folder (<c>/etc/apt</c>), in apt's own order; disabled and source-only entries are left out.</summary>
    public static IReadOnlyList<AptSource> Read(string aptFolder)
    {
        var found = new List<AptSource>();
        var main = Path.Combine(aptFolder, "sources.list");
        if (File.Exists(main))
        {
            found.AddRange(ParseList(File.ReadAllText(main)));
        }

        var parts = Path.Combine(aptFolder, "sources.list.d");
        if (Directory.Exists(parts))
        {
            foreach (var file in Directory.EnumerateFiles(parts).Order(StringComparer.Ordinal))
            {
                found.AddRange(Path.GetExtension(file) switch
                {
                    ".list" => ParseList(File.ReadAllText(file)),
                    ".sources" => ParseDeb822(File.ReadAllText(file)),
                    _ => [],
                });
            }
        }

        return found;
    }

    /// <summary>The source that is a full Debian archive, or null: by its path first, then by the suites it offers.</summary>
    public static AptSource? DebianArchive(IReadOnlyList<AptSource> sources) =>
        sources.FirstOrDefault(s => s.Uri.TrimEnd('/').EndsWith("/debian", StringComparison.Ordinal))
        ?? sources.FirstOrDefault(s => s.Components.Contains("main") && s.Suites.Any(DebianSuites.Contains));

    /// <summary>The one-line form: <c>deb [option=value …] URI suite component …</c>.</summary>
    public static IEnumerable<AptSource> ParseList(string text)
    {
        foreach (var raw in text.Split('\n'))
        {
            var line = raw.Split('#')[0].Trim();
            if (!line.StartsWith("deb ", StringComparison.Ordinal) && !line.StartsWith("deb\t", StringComparison.Ordinal))
            {
                continue;
            }

            line = line[3..].Trim();
            string? signedBy = null;
            if (line.StartsWith('['))
            {
                var end = line.IndexOf(']', StringComparison.Ordinal);
                if (end < 0)
                {
                    continue;
                }

                signedBy = Words(line[1..end]).Where(o => o.StartsWith("signed-by=", StringComparison.OrdinalIgnoreCase))
                    .Select(o => KeyringPath(o["signed-by=".Length..])).FirstOrDefault();
                line = line[(end + 1)..];
            }

            var words = Words(line);
            if (words.Length >= 2)
            {
                yield return new AptSource(words[0], [words[1]], words[2..], signedBy);
            }
        }
    }

    /// <summary>The stanza form: fields <c>Types</c>, <c>URIs</c>, <c>Suites</c>, <c>Components</c>, <c>Signed-By</c>, <c>Enabled</c>.</summary>
    public static IEnumerable<AptSource> ParseDeb822(string text)
    {
        var fields = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        string? last = null;
        foreach (var line in text.Split('\n').Append(""))
        {
            if (line.StartsWith('#'))
            {
                continue;
            }

            if (string.IsNullOrWhiteSpace(line))
            {
                foreach (var source in Stanza(fields))
                {
                    yield return source;
                }

                fields.Clear();
                last = null;
            }
            else if (char.IsWhiteSpace(line[0]))
            {
                if (last is not null)
                {
                    fields[last] += "\n" + line;
                }
            }
            else if (line.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon)
            {
                last = line[..colon];
                fields[last] = line[(colon + 1)..];
            }
        }
    }

    private static IEnumerable<AptSource> Stanza(Dictionary<string, string> fields)
    {
        string[] Field(string name) => Words(fields.GetValueOrDefault(name, ""));
        var enabled = Field("Enabled") is not [var value, ..] || value is not ("no" or "false" or "without" or "off" or "disable");
        if (!enabled || !Field("Types").Contains("deb"))
        {
            yield break;
        }

        foreach (var uri in Field("URIs"))
        {
            yield return new AptSource(uri, Field("Suites"), Field("Components"), KeyringPath(fields.GetValueOrDefault("Signed-By", "")));
        }
    }

    /// <summary>A keyring file; keys written into the sources themselves and fingerprints do not count.</summary>
    private static string? KeyringPath(string value) =>
        value.Split([',', ' ', '\n'], StringSplitOptions.RemoveEmptyEntries) is [['/', ..] path, ..] ? path : null;

    private static string[] Words(string text) => text.Split((char[])[' ', '\t', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
}
