using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>Mappings of regions.</content>
public partial class VfioDeviceFile
{
    private static readonly ulong PageMask = (ulong)Environment.SystemPageSize - 1;

    /// <summary>Maps part of a region (mmap(2), shared). The mapping lives at most as long as the file.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">First byte in the region, a multiple of the page size.</param>
    /// <param name="length">Length in bytes; may reach to the end of the region's last page.</param>
    /// <returns>The mapping, which the caller disposes.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: closed or not bound, no such region, it cannot be mapped there, bad offset or length; the device's own errors.
    /// </exception>
    public VfioRegionMapping Map(uint region, ulong offset, ulong length)
    {
        string what = $"mapping region {region} of {Name} at [0x{offset:x}, +0x{length:x})";
        ThrowIfClosed(what);
        VfioRegionInfo info = _device.GetRegionInfo(region);
        if ((info.Flags & VfioRegionFlags.Mmap) == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "the region cannot be mapped; read and write it");
        }

        ulong size = (info.Size + PageMask) & ~PageMask;
        if (length == 0 || (offset & PageMask) != 0 || offset > size || length > size - offset)
        {
            throw new VfioException(Errno.EINVAL, what, $"it must start at a page and lie inside the region of 0x{info.Size:x} bytes");
        }

        if (info.MappableAreas is { } areas && !areas.Any(a => offset >= a.Offset && offset - a.Offset < a.Size && length <= a.Size - (offset - a.Offset)))
        {
            throw new VfioException(Errno.EINVAL, what, "it must lie inside one of the areas that the region names as mappable");
        }

        UserMemory source = _device.Map(region, offset, length, out ulong start);
        var mapping = new VfioRegionMapping(this, region, offset, new RegionMemory(source, start, Math.Min(length, source.Length - start)));
        if (!_granted)
        {
            mapping.Dispose();
            ThrowIfClosed(what);
        }

        return mapping;
    }
}
