namespace Penstock.Tests;

/// <summary>The working copy that the tests were built from.</summary>
internal static class WorkingCopy
{
    private static readonly DirectoryInfo Output = new(AppContext.BaseDirectory);

    /// <summary>Its root folder.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The tool, of the same configuration as the tests.</summary>
    public static string Program { get; } = Path("src", "Penstock.Cli", "bin", Output.Parent!.Name, Output.Name, "penstock");

    public static string Path(params string[] parts) => System.IO.Path.Combine([Root, .. parts]);

    private static string FindRoot()
    {
        for (DirectoryInfo? at = Output; at is not null; at = at.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(at.FullName, "Penstock.slnx")))
            {
                return at.FullName;
            }
        }

        throw new InvalidOperationException("no folder above the tests' has a Penstock.slnx; run them inside a working copy");
    }
}
