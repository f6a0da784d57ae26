namespace Penstock.Vfio;

/// <summary>A domain of a type1 container with the groups that share it: those of one IOMMU unit.</summary>
internal sealed class Type1Domain
{
    internal required IommuUnit Unit { get; init; }

    internal required IommuDomain Domain { get; init; }

    internal List<Type1Group> Groups { get; } = [];
}
