using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A descriptor in a <see cref="MappingCache"/>, shared by everybody who copies from the same file.</summary>
internal sealed class SharedDescriptor
{
    internal required FileKey Key { get; init; }

    internal required OwnedDescriptor Descriptor { get; init; }

    internal int Users { get; set; }
}
