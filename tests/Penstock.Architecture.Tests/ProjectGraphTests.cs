using System.IO.Enumeration;
using System.Reflection;
using System.Text.Json;
using System.Xml.Linq;

namespace Penstock.Architecture.Tests;

/// <summary>A project may reference only projects that stand above it here.</summary>
public sealed class ProjectGraphTests
{
    private static readonly string[] Order =
    [
        "Interop", "Specs", "Vfio", "Pci", "VfioUser", "Kernel", "S390", "Spapr", "Hypervisor", "Devices", "Drivers", "Testing", "Lab", "Cli",
    ];

    public static TheoryData<string> Projects => [.. Repository.SourceProjects];

    [Theory]
    [MemberData(nameof(Projects))]
    [Trait("Row", "S2-8")]
    public void ProjectFile_ItsReferences_PointUpwardsOnly(string project)
    {
        XDocument file = XDocument.Parse(Repository.Read($"src/{project}/{project}.csproj"));
        IEnumerable<string> references = file.Descendants("ProjectReference")
            .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')));
        Assert.All(references, reference => AssertAbove(reference, project));
    }

    [Theory]
    [MemberData(nameof(Projects))]
    [Trait("Row", "S2-8")]
    public void Assembly_ItsReferences_PointUpwardsOnly(string project)
    {
        IEnumerable<string> references = Assemblies.Of(project).GetReferencedAssemblies()
            .Select(r => r.Name!)
            .Where(name => name.StartsWith("Penstock.", StringComparison.Ordinal));
        Assert.All(references, reference => AssertAbove(reference, project));
    }

    [Theory]
    [InlineData("Vfio")]
    [InlineData("Pci")]
    [InlineData("VfioUser")]
    public void Core_ItsPackages_AreNone(string project)
    {
        XDocument file = XDocument.Parse(Repository.Read($"src/Penstock.{project}/Penstock.{project}.csproj"));
        Assert.Empty(file.Descendants("PackageReference"));
    }

    /// <summary>A driver that knew models, PCI's device side or the protocol would not be one for real devices.</summary>
    [Fact]
    public void Drivers_AllThatTheyReference_IsDeviceFilesAndAddressSpaces() => Assert.Equal(
        ["Penstock.Interop", "Penstock.Specs", "Penstock.Vfio"],
        Assemblies.Of("Penstock.Drivers").GetReferencedAssemblies().Select(static r => r.Name!)
            .Where(static name => name.StartsWith("Penstock.", StringComparison.Ordinal)).Order(StringComparer.Ordinal));

    [Fact]
    public void Solution_EveryProjectOfTheTree_IsInIt()
    {
        string[] inSolution = [.. XDocument.Parse(Repository.Read("Penstock.slnx")).Descendants("Project").Select(p => p.Attribute("Path")!.Value).Order(StringComparer.Ordinal)];
        Assert.Equal(Repository.Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal)), inSolution);
    }

    [Theory]
    [InlineData("Interop")]
    [InlineData("Specs")]
    [InlineData("Vfio")]
    [InlineData("Pci")]
    [InlineData("VfioUser")]
    [InlineData("S390")]
    [Trait("Row", "K11")]
    [Trait("Row", "S0-4")]
    [Trait("Row", "S2-3")]
    public void Core_AllThatItReferences_KnowsNoHypervisor(string project)
    {
        string[] reached = [.. Closure($"src/Penstock.{project}/Penstock.{project}.csproj")];
        Assert.DoesNotContain(reached, IsHypervisor);
        Assert.DoesNotContain(Assemblies.Of($"Penstock.{project}").GetReferencedAssemblies(), r => r.Name == "Penstock.Hypervisor");
    }

    [Fact]
    [Trait("Row", "K11")]
    [Trait("Row", "S0-4")]
    public void SolutionWithoutHypervisor_Projects_AreAllThatDoNotNeedIt()
    {
        using JsonDocument filter = JsonDocument.Parse(Repository.Read("Penstock.NoHypervisor.slnf"));
        JsonElement solution = filter.RootElement.GetProperty("solution");
        Assert.Equal("Penstock.slnx", solution.GetProperty("path").GetString());
        string[] projects = [.. solution.GetProperty("projects").EnumerateArray().Select(static p => p.GetString()!).Order(StringComparer.Ordinal)];
        string[] without = [.. Repository.Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal) && !Closure(f).Any(IsHypervisor))];
        Assert.Equal(without, projects);
        Assert.Contains("tests/Penstock.Vfio.Tests/Penstock.Vfio.Tests.csproj", projects);
        Assert.Contains("tests/Penstock.Pci.Tests/Penstock.Pci.Tests.csproj", projects);
    }

    /// <summary>A project file with all that it references, directly or not.</summary>
    private static HashSet<string> Closure(string file)
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        var open = new Stack<string>([file]);
        while (open.TryPop(out string? next))
        {
            if (!found.Add(next))
            {
                continue;
            }

            foreach (XElement reference in XDocument.Parse(Repository.Read(next)).Descendants("ProjectReference"))
            {
                string include = reference.Attribute("Include")!.Value.Replace('\\', '/');
                string pattern = Path.GetRelativePath(Repository.Root, Path.Combine(Repository.Root, Path.GetDirectoryName(next)!, include));
                foreach (string match in Repository.Files.Where(f => FileSystemName.MatchesSimpleExpression(pattern, f)))
                {
                    open.Push(match);
                }
            }
        }

        return found;
    }

    private static bool IsHypervisor(string file) => file.StartsWith("src/Penstock.Hypervisor/", StringComparison.Ordinal);

    private static void AssertAbove(string reference, string project) => Assert.True(
        Place(reference) < Place(project),
        $"{project} references {reference}, which stands below it; the order is {string.Join(", ", Order)}");

    private static int Place(string project)
    {
        int place = Array.IndexOf(Order, project.Replace("Penstock.", "", StringComparison.Ordinal));
        Assert.True(place >= 0, $"{project} has no place in the order of projects; give it one here and in docs/architecture.md");
        return place;
    }
}
