namespace Penstock.Architecture.Tests;

/// <summary>The committed page is what the tests say now.</summary>
public sealed class CoverageTests
{
    internal const string Command = "PENSTOCK_WRITE_COVERAGE=1 dotnet test tests/Penstock.Architecture.Tests --filter CoverageTests";

    private const string Page = "docs/coverage.md";

    [Fact]
    public void CoveragePage_TestsRowAttributes_AreAllOnIt()
    {
        string now = CoverageReport.Write(CoverageReport.Read());
        if (Environment.GetEnvironmentVariable("PENSTOCK_WRITE_COVERAGE") == "1")
        {
            File.WriteAllText(Path.Combine(Repository.Root, Page), now);
        }

        string committed = Repository.Read(Page);
        Assert.True(committed == now, $"{Page} is not what the tests' Row attributes say; make it anew with: {Command}");
    }

    [Fact]
    public void Read_EveryAttribute_BelongsToATest() => Assert.Equal(CoverageReport.CountAttributes(), CoverageReport.Read().Count);

    [Fact]
    public void Rows_OfTheCore_AreProvenOrExcusedWithAReason()
    {
        const int MostExcused = 15;
        HashSet<string> proven = [.. CoverageReport.Read().Select(r => r.Row)];
        HashSet<string> excused = [.. CoverageReport.Excused.Select(e => e.Row)];
        IEnumerable<string> all = CoverageReport.Complete.SelectMany(a => Enumerable.Range(1, a.Rows).Select(n => $"{a.Letter}{n}"))
            .Concat(CoverageReport.CoreMission);
        Assert.DoesNotContain(all, row => !proven.Contains(row) && !excused.Contains(row));
        Assert.Empty(proven.Intersect(excused));
        Assert.InRange(excused.Count, 0, MostExcused);
    }

    [Fact]
    public void Write_Rows_AreGroupedAndInNumericalOrder()
    {
        string page = CoverageReport.Write([("T13", "A: B.C"), ("T2", "A: B.D"), ("T2", "A: B.B"), ("C1", "A: B.C"), ("QQ7", "A: B.E")]);
        string tables = page[page.IndexOf("\n## ", StringComparison.Ordinal)..page.IndexOf("\n## Excused", StringComparison.Ordinal)];
        Assert.Equal(
            """

            ## Containers

            | Row | Tests |
            | --- | --- |
            | C1 | A: B.C |

            ## type1 and type1v2

            | Row | Tests |
            | --- | --- |
            | T2 | A: B.B<br>A: B.D |
            | T13 | A: B.C |

            ## Other rows

            | Row | Tests |
            | --- | --- |
            | QQ7 | A: B.E |

            """,
            tables);
    }
}
