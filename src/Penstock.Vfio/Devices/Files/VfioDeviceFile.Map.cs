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

    /// <summary>Makes a file of parts of a region, for I/O address spaces to map. It does not keep the device open.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="ranges">The parts, each in whole pages.</param>
    /// <returns>The file, which the caller disposes.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: closed or not bound, no ranges, or one that is empty, not aligned or not in the region; EOVERFLOW: one wraps; ENODEV: there is no
    /// memory behind the region.
    /// </exception>
    public VfioDmaBuf ExportDmaBuf(uint region, params ReadOnlySpan<VfioRegionArea> ranges)
    {
        string what = $"exporting region {region} of {Name}";
        ThrowIfClosed(what);
        if (ranges.IsEmpty)
        {
            throw new VfioException(Errno.EINVAL, what, "no range is given");
        }

        VfioRegionInfo info = _device.GetRegionInfo(region);
        if ((info.Flags & VfioRegionFlags.Mmap) == 0)
        {
            throw new VfioException(Errno.ENODEV, what, "there is no memory behind it");
        }

        foreach (VfioRegionArea range in ranges)
        {
            if (range.Size == 0 || ((range.Offset | range.Size) & PageMask) != 0)
            {
                throw new VfioException(Errno.EINVAL, what, $"{range} is empty or not whole pages");
            }

            if (range.Size > ulong.MaxValue - range.Offset)
            {
                throw new VfioException(Errno.EOVERFLOW, what, $"{range} wraps");
            }

            if (range.Offset > info.Size || range.Size > info.Size - range.Offset)
            {
                throw new VfioException(Errno.EINVAL, what, $"{range} is not inside the region of 0x{info.Size:x} bytes");
            }
        }

        var parts = new RegionMemory[ranges.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            UserMemory source = _device.Map(region, ranges[i].Offset, ranges[i].Size, out ulong start);
            parts[i] = new RegionMemory(source, start, ranges[i].Size);
        }

        var buffer = new VfioDmaBuf(_device, parts);
        _device.Mappings.Add(buffer);
        return buffer;
    }
}
