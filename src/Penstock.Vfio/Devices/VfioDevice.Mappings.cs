using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Memory of the device that users map.</content>
public abstract partial class VfioDevice
{
    internal RegionMappings Mappings { get; } = new();

    /// <summary>
    /// Finds the memory behind part of a region whose information says that it can be mapped. The range has been checked against that.
    /// </summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">First byte in the region.</param>
    /// <param name="length">Length in bytes; may exceed the region by the rest of its last page.</param>
    /// <param name="start">Receives the offset of the first byte in the memory.</param>
    /// <returns>The memory; it stays the device's, the mapping holds a reference of its own.</returns>
    /// <exception cref="VfioException">EINVAL: the region cannot be mapped; EBUSY: somebody else has it.</exception>
    protected internal virtual UserMemory Map(uint region, ulong offset, ulong length, out ulong start) =>
        throw new VfioException(Errno.EINVAL, $"mapping region {region} of {Name}", "the device has no memory to map");

    /// <summary>
    /// Takes all users' mappings of the device away, through whichever of its files they were made. When this returns no access through one
    /// is in progress; every later one fails with EFAULT.
    /// </summary>
    protected void RevokeMappings() => Mappings.Revoke();

    /// <summary>Lets users' mappings work again.</summary>
    protected void RestoreMappings() => Mappings.Restore();
}
