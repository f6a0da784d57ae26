using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>The driver of type1 and type1v2 containers.</summary>
internal sealed class Type1Driver : IommuBackendDriver
{
    public override string Name => "type1";

    public override bool Reports(VfioIommuType extension) =>
        extension is VfioIommuType.Type1 or VfioIommuType.Type1V2 or VfioIommuType.UnmapAll;

    public override IommuBackend Open(VfioHost host, VfioIommuType type, Caller caller) =>
        type is VfioIommuType.Type1 or VfioIommuType.Type1V2
            ? new Type1Backend(host, splitsNothing: type == VfioIommuType.Type1V2)
            : throw new VfioException(Interop.Errno.EINVAL, $"SET_IOMMU {type}", "this is an extension, not an IOMMU type");
}
