using System.Text.RegularExpressions;

namespace Penstock.Architecture.Tests;

/// <summary>What the pages quote and point to is there.</summary>
public sealed partial class DocumentationTests
{
    private const string Begin = "// <readme>\n";
    private const string End = "// </readme>";

    public static TheoryData<string> QuotedFiles =>
        [.. Repository.CSharp("samples").Where(f => Repository.Read(f).Contains(Begin, StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(QuotedFiles))]
    public void Readme_CodeOfSample_IsTheSamplesSource(string file)
    {
        string source = Repository.Read(file);
        int start = source.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        string region = source[start..source.IndexOf(End, StringComparison.Ordinal)];
        Assert.True(
            Repository.Read("README.md").Contains($"```csharp\n{region}```", StringComparison.Ordinal),
            $"README.md does not quote {file} as it is; paste its region between the readme marks");
    }

    [Fact]
    public void Readme_CSharpBlocks_AreAllFromSamples() =>
        Assert.Equal(CSharpBlock().Count(Repository.Read("README.md")), QuotedFiles.Count);

    /// <summary>What stands between <c>&lt;docs/page.md&gt;</c> marks in a test or sample is compiled and run, so the page quotes it.</summary>
    [Fact]
    public void Pages_CodeOfMarkedRegions_IsQuotedAsItIs()
    {
        var quotes = Repository.CSharp("tests").Concat(Repository.CSharp("samples"))
            .SelectMany(file => PageRegion().Matches(Repository.Read(file)).Select(m => (File: file, Page: m.Groups["page"].Value, Text: Unindented(m.Groups["text"].Value))))
            .ToList();
        Assert.Contains(quotes, static q => q.Page == "docs/testing.md");
        Assert.All(quotes, static quote => Assert.True(
            Repository.Read(quote.Page).Contains($"```csharp\n{quote.Text}```", StringComparison.Ordinal),
            $"{quote.Page} does not quote {quote.File} as it is; paste the region between the marks"));
    }

    private static string Unindented(string region)
    {
        int indent = region.TakeWhile(static c => c == ' ').Count();
        return string.Join('\n', region.Split('\n').Select(line => line.Length < indent ? line : line[indent..]));
    }

    [Fact]
    public void Pages_RelativeLinks_LeadToFiles()
    {
        var broken = new List<string>();
        foreach (string page in Repository.Files.Where(f => f.EndsWith(".md", StringComparison.Ordinal)))
        {
            string folder = Path.GetDirectoryName(Path.Combine(Repository.Root, page))!;
            broken.AddRange(Link().Matches(Repository.Read(page))
                .Select(m => m.Groups["target"].Value.Split('#')[0])
                .Where(target => target.Length > 0 && !target.Contains("://", StringComparison.Ordinal))
                .Where(target => !Path.Exists(Path.Combine(folder, target)))
                .Select(target => $"{page}: {target}"));
        }

        Assert.Empty(broken);
    }

    [GeneratedRegex("^```csharp$", RegexOptions.Multiline)]
    private static partial Regex CSharpBlock();

    [GeneratedRegex(@"// <(?<page>docs/[\w-]+\.md)>\n(?<text>.*?\n) *// </\k<page>>", RegexOptions.Singleline)]
    private static partial Regex PageRegion();

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)\)")]
    private static partial Regex Link();
}
