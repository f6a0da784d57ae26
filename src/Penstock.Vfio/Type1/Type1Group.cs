namespace Penstock.Vfio;

/// <summary>A group in a type1 container.</summary>
internal sealed class Type1Group(IommuGroup group)
{
    internal IommuGroup Group { get; } = group;

    /// <summary>Whether its devices touch no other pages than those that they pin, or write through the container.</summary>
    internal bool HasPinnedScope { get; set; } = group.IsEmulated;
}
