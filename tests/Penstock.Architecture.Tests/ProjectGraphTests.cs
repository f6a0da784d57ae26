using System.Reflection;
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
    public void ProjectFile_ItsReferences_PointUpwardsOnly(string project)
    {
        XDocument file = XDocument.Parse(Repository.Read($"src/{project}/{project}.csproj"));
        IEnumerable<string> references = file.Descendants("ProjectReference")
            .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')));
        Assert.All(references, reference => AssertAbove(reference, project));
    }

    [Theory]
    [MemberData(nameof(Projects))]
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

    [Fact]
    public void Solution_EveryProjectOfTheTree_IsInIt()
    {
        string[] inSolution = [.. XDocument.Parse(Repository.Read("Penstock.slnx")).Descendants("Project").Select(p => p.Attribute("Path")!.Value).Order(StringComparer.Ordinal)];
        Assert.Equal(Repository.Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal)), inSolution);
    }

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
