using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>IOMMU groups for devices under test.</summary>
internal static class TestTopology
{
    public static IommuGroup NewGroup() => new VfioHost().AddIommuUnit("unit").CreateGroup();
}
