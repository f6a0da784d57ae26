using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Penstock.Architecture.Tests;

/// <summary>docs/coverage.md: which tests prove which row of the mission and conformance lists, read from the attributes in the tests' sources.</summary>
internal static partial class CoverageReport
{
    private const string Other = "Other rows";

    /// <summary>Areas by the letter that their rows begin with, in the order of the page.</summary>
    private static readonly (string Letter, string Title)[] Areas =
    [
        ("S", "Mission"),
        ("C", "Containers"),
        ("G", "Groups and ownership of DMA"),
        ("D", "Device files and life cycle"),
        ("K", "VM lease"),
        ("T", "type1 and type1v2"),
        ("N", "Compatibility container of iommufd"),
        ("A", "iommufd objects and I/O address spaces"),
        ("E", "Accesses and pins"),
        ("H", "Page tables, attach, dirty tracking, nesting, faults"),
        ("P", "PCI configuration space"),
        ("R", "Regions"),
        ("I", "Interrupts"),
        ("B", "Interrupt bypass"),
        ("X", "Reset"),
        ("V", "VF token"),
        ("VU", "vfio-user protocol"),
        ("F", "Features"),
        ("M", "Migration"),
        ("L", "Low power"),
        ("O", "Mediated devices"),
    ];

    /// <summary>How many rows each area of the core has, numbered from 1.</summary>
    public static IReadOnlyList<(string Letter, int Rows)> Complete { get; } =
    [
        ("C", 15), ("G", 19), ("D", 23), ("K", 11), ("T", 46), ("N", 13), ("A", 39), ("E", 13), ("H", 29), ("B", 14), ("F", 12), ("M", 17), ("L", 5), ("O", 5),
    ];

    /// <summary>Rows of the mission that the core has to prove.</summary>
    public static IReadOnlyList<string> CoreMission { get; } =
    [
        "S0-1", "S0-2", "S0-3", "S0-4", "S0-5", "S0-6", "S0-9", "S0-13", "S0-18", "S0-19", "S1-10", "S1-12", "S1-13", "S1-14", "S1-15", "S1-16",
        "S2-1", "S2-2", "S2-5", "S2-7", "S2-8", "S4-2", "S4-3", "S4-5", "S4-11", "S4-12", "S4-15", "S4-20", "S4-21",
    ];

    /// <summary>Rows that nothing here can prove, and why.</summary>
    public static IReadOnlyList<(string Row, string Reason)> Excused { get; } =
    [
        ("A37", "moving the accounts of an address space to another process (IOAS_CHANGE_PROCESS) is not implemented; the request answers ENOTTY"),
    ];

    /// <summary>Row and test for every attribute.</summary>
    public static IReadOnlyList<(string Row, string Test)> Read()
    {
        var found = new List<(string Row, string Test)>();
        foreach (string file in Repository.CSharp("tests"))
        {
            string project = file.Split('/')[1].Replace("Penstock.", "", StringComparison.Ordinal).Replace(".Tests", "", StringComparison.Ordinal);
            string type = "";
            var rows = new List<string>();
            foreach (string line in Repository.Read(file).Split('\n'))
            {
                if (line.TrimStart().StartsWith('['))
                {
                    rows.AddRange(RowAttribute().Matches(line).Select(m => m.Groups[1].Value));
                }
                else if (TestClass().Match(line) is { Success: true } declaration)
                {
                    type = declaration.Groups[1].Value;
                    found.AddRange(rows.Select(row => (row, $"{project}: {type}")));
                    rows.Clear();
                }
                else if (rows.Count > 0 && TestMethod().Match(line) is { Success: true } method)
                {
                    found.AddRange(rows.Select(row => (row, $"{project}: {type}.{method.Groups[1].Value}")));
                    rows.Clear();
                }
            }
        }

        return found;
    }

    /// <summary>How many attributes the sources have, counted without understanding them.</summary>
    public static int CountAttributes() => Repository.CSharp("tests")
        .SelectMany(f => Repository.Read(f).Split('\n'))
        .Where(l => l.TrimStart().StartsWith('['))
        .Sum(l => RowAttribute().Count(l));

    /// <summary>The page.</summary>
    public static string Write(IReadOnlyList<(string Row, string Test)> rows)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $"""
            # Coverage

            {rows.Select(r => r.Row).Distinct().Count()} rows of the mission and conformance lists are proven by {rows.Select(r => r.Test).Distinct().Count()} tests. A test carries its rows as
            `[Trait("Row", "…")]`; run those of one row with `dotnet test --filter Row=T13`. This page is made from the attributes:
            `{CoverageTests.Command}`

            """);
        foreach (IGrouping<string, (string Row, string Test)> area in rows.GroupBy(r => TitleOf(r.Row)).OrderBy(g => PlaceOf(g.Key)))
        {
            page.Append(CultureInfo.InvariantCulture, $"\n## {area.Key}\n\n| Row | Tests |\n| --- | --- |\n");
            foreach (IGrouping<string, (string Row, string Test)> row in area.GroupBy(r => r.Row).OrderBy(r => SortKey(r.Key), StringComparer.Ordinal))
            {
                string tests = string.Join("<br>", row.Select(r => r.Test).Distinct().Order(StringComparer.Ordinal));
                page.Append(CultureInfo.InvariantCulture, $"| {row.Key} | {tests} |\n");
            }
        }

        page.Append(CultureInfo.InvariantCulture, $"\n## Excused\n\nRows without a test, {Excused.Count} of the {Complete.Sum(a => a.Rows)} of the areas {string.Join(", ", Complete.Select(a => a.Letter))}. The other areas are not complete, and do not claim to be:\n\n| Row | Reason |\n| --- | --- |\n");
        foreach ((string row, string reason) in Excused)
        {
            page.Append(CultureInfo.InvariantCulture, $"| {row} | {reason} |\n");
        }

        return page.ToString();
    }

    private static string TitleOf(string row) => Areas.FirstOrDefault(a => AreaLetters().Match(row).Value == a.Letter).Title ?? Other;

    private static int PlaceOf(string title)
    {
        int place = Array.FindIndex(Areas, a => a.Title == title);
        return place < 0 ? Areas.Length : place;
    }

    /// <summary>Numbers padded, so that T2 comes before T13.</summary>
    private static string SortKey(string row) => Digits().Replace(row, m => m.Value.PadLeft(6, '0'));

    [GeneratedRegex("""Trait\("Row", "([^"]+)"\)""")]
    private static partial Regex RowAttribute();

    [GeneratedRegex(@"\bclass (\w+)")]
    private static partial Regex TestClass();

    [GeneratedRegex(@"^\s*public .*?\b(\w+)\(")]
    private static partial Regex TestMethod();

    [GeneratedRegex("^[A-Z]+")]
    private static partial Regex AreaLetters();

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Digits();
}
