using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>The driver of containers for groups without an IOMMU: nothing can be mapped, and only who may do raw I/O gets one.</summary>
internal sealed class NoIommuDriver : IommuBackendDriver
{
    public override string Name => "noiommu";

    public override bool Reports(VfioIommuType extension) => extension == VfioIommuType.NoIommu;

    public override IommuBackend Open(VfioHost host, VfioIommuType type, Caller caller) => caller.RawIo
        ? new Backend()
        : throw new VfioException(Errno.EPERM, $"SET_IOMMU {type}", "the caller lacks CAP_SYS_RAWIO");

    private sealed class Backend : IommuBackend
    {
        public override bool Reports(VfioIommuType extension) => extension == VfioIommuType.NoIommu;

        public override void AttachGroup(IommuGroup group)
        {
        }

        public override void DetachGroup(IommuGroup group)
        {
        }

        public override void Release()
        {
        }
    }
}
