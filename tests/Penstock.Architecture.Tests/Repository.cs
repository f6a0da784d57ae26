namespace Penstock.Architecture.Tests;

/// <summary>The files of the working copy.</summary>
internal static class Repository
{
    /// <summary>What .gitignore leaves out, and git's own.</summary>
    private static readonly string[] Unversioned = [".git", ".vs", "bin", "obj", "out", "TestResults"];

    /// <summary>Its root folder.</summary>
    public static string Root => WorkingCopy.Root;

    /// <summary>Paths of all files but ignored ones, relative to the root.</summary>
    public static IReadOnlyList<string> Files { get; } = [.. Walk(Root).Order(StringComparer.Ordinal)];

    /// <summary>C# files below a folder of the root.</summary>
    public static IEnumerable<string> CSharp(string folder) =>
        Files.Where(f => f.StartsWith(folder + "/", StringComparison.Ordinal) && f.EndsWith(".cs", StringComparison.Ordinal));

    /// <summary>The text of a file.</summary>
    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path));

    /// <summary>Names of the projects in src.</summary>
    public static IReadOnlyList<string> SourceProjects { get; } =
        [.. Files.Where(f => f.StartsWith("src/", StringComparison.Ordinal) && f.EndsWith(".csproj", StringComparison.Ordinal))
            .Select(f => Path.GetFileNameWithoutExtension(f))];

    /// <summary>Walked instead of asked of git, which an unpacked archive does not have.</summary>
    private static IEnumerable<string> Walk(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder).Where(f => !f.EndsWith(".user", StringComparison.Ordinal)))
        {
            yield return Path.GetRelativePath(Root, file);
        }

        foreach (string inner in Directory.EnumerateDirectories(folder).Where(d => !Unversioned.Contains(Path.GetFileName(d))))
        {
            foreach (string file in Walk(inner))
            {
                yield return file;
            }
        }
    }
}
