using System.Text.RegularExpressions;

namespace Penstock.Architecture.Tests;

/// <summary>Rules for files that neither the compiler nor its analyzers know.</summary>
public sealed partial class SourceRuleTests
{
    private const int LongestFile = 400;

    /// <summary>Files that may be longer, each with its reason.</summary>
    private static readonly Dictionary<string, string> Longer = new()
    {
        ["src/Penstock.Hypervisor/Tap/penstock-tap.c"] = "one file, so that a plugin is one call of the compiler; a test of its own bounds it",
    };

    /// <summary>Files with unsafe code that need no SAFETY line, each with its reason.</summary>
    private static readonly Dictionary<string, string> Declarations = new()
    {
        ["src/Penstock.Interop/Native.cs"] = "declares the system calls; whoever calls one has the pointers",
    };

    [Fact]
    public void File_Length_IsBounded() => AssertNone(
        Repository.Files
            .Where(f => Path.GetExtension(f) is ".cs" or ".c" or ".h" or ".sh" or ".md" && f != "docs/coverage.md" && !Longer.ContainsKey(f))
            .Where(f => Repository.Read(f).Count(c => c == '\n') > LongestFile),
        $"longer than {LongestFile} lines; split by concern, or add it to the list with a reason");

    [Fact]
    public void File_Name_SaysWhatItHolds() => AssertNone(
        Repository.Files.Where(f => VagueName().IsMatch(Path.GetFileName(f))),
        "named after nothing in particular");

    [Fact]
    public void SourceFile_PublicTypes_AreOneWithItsName()
    {
        var wrong = new List<string>();
        foreach (string file in Repository.CSharp("src"))
        {
            string[] types = [.. PublicType().Matches(Repository.Read(file)).Select(m => m.Groups["name"].Value)];
            string name = Path.GetFileName(file).Split('.')[0];
            if (types.Length > 1 || (types.Length == 1 && types[0] != name))
            {
                wrong.Add($"{file}: {string.Join(", ", types)}");
            }
        }

        AssertNone(wrong, "not one public type with the file's name");
    }

    [Fact]
    public void UnsafeCode_EachFile_SaysWhyItIsSafe() => AssertNone(
        Repository.CSharp("src")
            .Where(f => UnsafeKeyword().IsMatch(Repository.Read(f)) && !Declarations.ContainsKey(f))
            .Where(f => PointerUse().IsMatch(Repository.Read(f)))
            .Where(f => !Repository.Read(f).Contains("// SAFETY:", StringComparison.Ordinal)),
        "unsafe without a SAFETY line");

    [Fact]
    public void UnsafeBlock_Each_FollowsItsReason() => AssertNone(
        Repository.CSharp("src").SelectMany(f => LinesOf(f)
            .Where((l, i) => UnsafeBlock().IsMatch(l.Text) && !LinesOf(f).Skip(Math.Max(0, i - 3)).Take(5).Any(n => n.Text.Contains("// SAFETY:", StringComparison.Ordinal)))
            .Select(l => l.Place)),
        "an unsafe block without a SAFETY line");

    [Fact]
    public void Format_HexadecimalWithPrefix_IsSpelledOut() => AssertNone(
        CodeLines().Where(l => CustomHex().IsMatch(l.Text)).Select(l => l.Place),
        "'#' makes a custom format of it and prints nonsense; write 0x{value:x}");

    [Fact]
    public void Test_Skipped_None() => AssertNone(
        Repository.CSharp("tests").SelectMany(LinesOf).Where(l => SkippedTest().IsMatch(l.Text)).Select(l => l.Place),
        "a skipped test; make it run or remove it");

    [Fact]
    public void Text_MachinePaths_None()
    {
        string own = Repository.Root.Count(c => c == '/') > 1 ? Repository.Root : "\0";
        AssertNone(
            AllLines().Where(l => MachinePath().IsMatch(l.Text) || l.Text.Contains(own, StringComparison.Ordinal)).Select(l => l.Place),
            "a path of one machine");
    }

    [Fact]
    public void Text_Hosts_AreExamples() => AssertNone(
        // SVG's name for itself looks like an address.
        AllLines().SelectMany(l => Host().Matches(l.Text.Replace("http://www.w3.org/2000/svg", "", StringComparison.Ordinal))
            .Where(m => !m.Groups["host"].Value.EndsWith(".example", StringComparison.Ordinal)).Select(_ => l.Place)),
        "an address; where packages come from is the machine's business, and examples end in .example");

    [Fact]
    [Trait("Row", "S1-5")]
    public void PciCore_VendorIds_None() => AssertNone(
        Repository.CSharp("src/Penstock.Pci").SelectMany(LinesOf).Where(l => VendorId().IsMatch(l.Text)).Select(l => l.Place),
        "the core knows no vendors; what is special about one device belongs into a variant of its own");

    [Fact]
    public void PublicType_Each_IsDocumented()
    {
        foreach (string project in Repository.SourceProjects.Where(p => p != "Penstock.Cli"))
        {
            string path = Path.Combine(AppContext.BaseDirectory, project + ".xml");
            Assert.True(File.Exists(path), $"{project} makes no documentation file, so the compiler does not ask for comments");
            string documentation = File.ReadAllText(path);
            AssertNone(
                Assemblies.Of(project).GetExportedTypes()
                    .Select(t => t.FullName!.Replace('+', '.'))
                    .Where(t => !documentation.Contains($"\"T:{t}\"", StringComparison.Ordinal)),
                "no documentation");
        }
    }

    /// <summary>A rule whose pattern finds nothing would never fail. Put together here, so that this file keeps the rules itself.</summary>
    [Fact]
    public void Patterns_KnownViolations_AreFound()
    {
        Assert.Matches(VagueName(), "Path" + "Utils.cs");
        Assert.Matches(UnsafeBlock(), "        unsafe");
        Assert.Matches(PointerUse(), "byte* at = start;");
        Assert.Matches(CustomHex(), "$\"at {offset:" + "#x}\"");
        Assert.Matches(SkippedTest(), "[Fa" + "ct(Skip = \"later\")]");
        Assert.Matches(MachinePath(), "see /" + "home/me/notes");
        Assert.Matches(Host(), "https:" + "//registry.invalid/x");
        Assert.Matches(VendorId(), "const ushort VendorId = 0x1234;");
        Assert.Equal("Thing", PublicType().Match("public sealed unsafe partial class Thing : Other").Groups["name"].Value);
        Assert.Equal("Thing", PublicType().Match("public delegate void Thing(int x);").Groups["name"].Value);
        Assert.Equal("Thing", PublicType().Match("public readonly record struct Thing(int X);").Groups["name"].Value);
    }

    private static void AssertNone(IEnumerable<string> found, string problem)
    {
        string[] all = [.. found];
        Assert.True(all.Length == 0, $"{problem}: {string.Join("; ", all)}");
    }

    private static IEnumerable<(string Place, string Text)> LinesOf(string file) =>
        Repository.Read(file).Split('\n').Select((text, i) => ($"{file}:{i + 1}", text));

    private static IEnumerable<(string Place, string Text)> CodeLines() =>
        Repository.Files.Where(f => f.EndsWith(".cs", StringComparison.Ordinal)).SelectMany(LinesOf);

    /// <summary>Lines of all texts; files with a NUL are programs.</summary>
    private static IEnumerable<(string Place, string Text)> AllLines() =>
        Repository.Files.Where(f => !Repository.Read(f).Contains('\0', StringComparison.Ordinal)).SelectMany(LinesOf);

    [GeneratedRegex("(Util|Helper|Manager|Misc|Common[.])s?", RegexOptions.CultureInvariant)]
    private static partial Regex VagueName();

    [GeneratedRegex(@"^public (?:[a-z]+ )*?(?:(?:class|struct|interface|enum|record(?: struct)?) (?<name>\w+)|delegate \S+ (?<name>\w+))", RegexOptions.Multiline)]
    private static partial Regex PublicType();

    [GeneratedRegex(@"\bunsafe\b")]
    private static partial Regex UnsafeKeyword();

    [GeneratedRegex(@"\w\*\s|->|\bfixed \(")]
    private static partial Regex PointerUse();

    [GeneratedRegex(@"^\s*unsafe\s*\{?\s*$")]
    private static partial Regex UnsafeBlock();

    [GeneratedRegex(@"\{[^{}""]*:#[xX]")]
    private static partial Regex CustomHex();

    [GeneratedRegex(@"\[(Fact|Theory)\([^)]*Skip\s*=")]
    private static partial Regex SkippedTest();

    [GeneratedRegex(@"(?<![\w./*-])(?:/(?:home|Users|root|work|workspace|builds)/\w|[A-Za-z]:\\\w)")]
    private static partial Regex MachinePath();

    [GeneratedRegex(@"https?://(?<host>[\w.-]+)")]
    private static partial Regex Host();

    [GeneratedRegex(@"\bVendor\w*\s*(?:=|==|is)\s*(?:0x[0-9A-Fa-f]{4}|PciVendor)|0x(?:8086|10[dD][eE]|1002|1022|15[bB]3|1[aA][fF]4|1[bB]36|14[eE]4|1014|177[dD]|19[eE]5)\b")]
    private static partial Regex VendorId();
}
