using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>An address space of an iommufd, which chooses addresses by itself.</summary>
internal sealed class IoasAddressSpace(Ioas ioas) : DmaAddressSpace(ioas.Context.Host)
{
    internal override ulong Map(UserMemory memory, ulong size, DmaAccess access) => ioas.Map(memory, 0, size, access);

    internal override void Unmap(ulong iova, ulong size) => ioas.Unmap(iova, size);
}
