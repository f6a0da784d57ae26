using System.Reflection;

namespace Penstock.Architecture.Tests;

/// <summary>The built assemblies of src.</summary>
internal static class Assemblies
{
    /// <summary>The assembly of a project; the tool's has a name of its own.</summary>
    public static Assembly Of(string project) => Assembly.Load(project == "Penstock.Cli" ? "penstock" : project);
}
