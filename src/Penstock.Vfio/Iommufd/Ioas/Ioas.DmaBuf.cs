using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Memory of devices, which comes and goes.</content>
public sealed partial class Ioas
{
    /// <summary>Maps part of a device's region (IOAS_MAP_FILE with a dma-buf). Accesses cannot pin or copy it, and nobody is charged.</summary>
    /// <param name="buffer">The file; it may be closed afterwards.</param>
    /// <param name="start">First byte in the file.</param>
    /// <param name="length">Length in bytes, a multiple of <see cref="Alignment"/>.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="iova">The I/O address; null for one that the address space chooses.</param>
    /// <returns>The I/O address.</returns>
    /// <exception cref="VfioException">As <see cref="Map"/>; EOPNOTSUPP: it has several ranges; EINVAL: past its end; ENODEV: revoked.</exception>
    public ulong MapFile(VfioDmaBuf buffer, ulong start, ulong length, DmaAccess access, ulong? iova = null)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        RangeCall what = new("IOAS_MAP_FILE", iova, length);
        CheckRequest(what, length, access, iova ?? 0);
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            CheckSource(what, start, length);
            if (buffer.RangeCount != 1)
            {
                throw new VfioException(Errno.EOPNOTSUPP, what, $"the file has {buffer.RangeCount} ranges; export one");
            }

            if (start > buffer.Size || length > buffer.Size - start)
            {
                throw new VfioException(Errno.EINVAL, what, $"[0x{start:x}, +0x{length:x}) is not inside the file of 0x{buffer.Size:x} bytes");
            }

            if (buffer.IsRevoked)
            {
                throw new VfioException(Errno.ENODEV, what, "the device has taken its memory away");
            }

            return Insert(what, () => new IommufdPages(Context, buffer, start, length, Writes(access)), start, length, access, iova);
        }
    }

    /// <summary>Takes some pages out of the tables; what maps them stays. The gate is held.</summary>
    internal void Hide(IommufdPages pages)
    {
        foreach (IoasArea area in FilledWith(pages))
        {
            foreach (PagingHwPagetable table in _tables)
            {
                table.Domain.Unmap(area.Range);
            }
        }
    }

    /// <summary>Puts them back. The gate is held.</summary>
    internal void Show(IommufdPages pages)
    {
        foreach (IoasArea area in FilledWith(pages))
        {
            UserMemory memory = pages.Resolve(area.Offset, out ulong offset);
            foreach (PagingHwPagetable table in _tables)
            {
                MapInto(table.Domain, area, memory, offset);
            }
        }
    }

    private IoasArea[] FilledWith(IommufdPages pages) => [.. _areas.All.Where(a => a.Filled && a.Pages == pages)];
}
