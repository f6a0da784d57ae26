using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// An iommufd used as a container: the calls of a type1 container on the context's <see cref="IommufdContext.CompatIoas"/>. All members
/// may be called from any thread.
/// </summary>
public sealed partial class IommufdContainer
{
    private readonly IommufdContext _context;

    internal IommufdContainer(IommufdContext context) => _context = context;

    /// <summary>CHECK_EXTENSION.</summary>
    /// <param name="extension">The extension.</param>
    /// <returns>Whether it is there.</returns>
    /// <exception cref="VfioException">ENODEV: cache coherence was asked for and there is no compat address space.</exception>
    public bool CheckExtension(VfioIommuType extension)
    {
        switch (extension)
        {
            case VfioIommuType.Type1 or VfioIommuType.Type1V2 or VfioIommuType.UnmapAll:
                return !_context.IsNoIommu;
            case VfioIommuType.NoIommu:
                return _context.Host.Options.NoIommu;
            case VfioIommuType.DmaCacheCoherent:
                return _context.RequireCompat("CHECK_EXTENSION").EnforcesCoherency;
            default:
                return false;
        }
    }

    /// <summary>SET_IOMMU; may be repeated. The first form of type1 gives up large pages, so that unmap can cut mappings.</summary>
    /// <param name="type">The type.</param>
    /// <exception cref="VfioException">
    /// EINVAL: another type, or something is mapped in a page table already; ENODEV: no compat address space; EPERM: no IOMMU, and no raw
    /// I/O.
    /// </exception>
    public void SetIommu(VfioIommuType type)
    {
        string what = $"SET_IOMMU {type}";
        if (type == VfioIommuType.NoIommu && _context.IsNoIommu)
        {
            if (!_context.Caller.RawIo)
            {
                throw new VfioException(Errno.EPERM, what, "the caller lacks CAP_SYS_RAWIO");
            }

            return;
        }

        if (_context.IsNoIommu || type is not (VfioIommuType.Type1 or VfioIommuType.Type1V2))
        {
            throw new VfioException(Errno.EINVAL, what, "an iommufd is a type1 container only");
        }

        Ioas ioas = _context.RequireCompat(what);
        if (type == VfioIommuType.Type1)
        {
            ioas.HugePages = false;
        }
    }

    /// <summary>MAP_DMA.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="access">What devices may do; nothing at all is accepted as long as no page table has to take it.</param>
    /// <param name="memory">The memory; the mapping holds a reference of its own.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory.</param>
    /// <exception cref="VfioException">EINVAL: unknown access; ENODEV: no compat address space; as <see cref="Ioas.Map"/> at a fixed address.</exception>
    public void MapDma(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        ArgumentNullException.ThrowIfNull(memory);
        RangeCall what = new("MAP_DMA", iova, size);
        if ((access & ~DmaAccess.ReadWrite) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"unknown access bits {access}");
        }

        _context.RequireCompat(what).MapMemory(what, memory, memoryOffset, size, access, iova);
    }

    /// <summary>UNMAP_DMA.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="all">Everything; then address and size must be 0.</param>
    /// <returns>Bytes removed; 0 when nothing was mapped.</returns>
    /// <exception cref="VfioException">
    /// ENODEV: no compat address space; EINVAL: size 0, or address and size with <paramref name="all"/>, or the mapping cannot be cut there;
    /// EOVERFLOW: it wraps; ENOENT: a mapping would be cut, and the address space has large pages.
    /// </exception>
    public ulong UnmapDma(ulong iova, ulong size, bool all = false)
    {
        ulong removed = 0;
        return UnmapDma(iova, size, all, ref removed);
    }

    /// <summary>As above; tells what was removed also when it fails, and leaves that alone when it fails before it tried.</summary>
    private ulong UnmapDma(ulong iova, ulong size, bool all, ref ulong removed)
    {
        RangeCall what = new("UNMAP_DMA", iova, size);
        Ioas ioas = _context.RequireCompat(what);
        if (all)
        {
            if (iova != 0 || size != 0)
            {
                throw new VfioException(Errno.EINVAL, what, "with ALL, address and size must be 0");
            }

            return ioas.Unmap(what, IovaRange.All, ref removed);
        }

        if (size == 0)
        {
            removed = 0;
            throw new VfioException(Errno.EINVAL, what, "the size is 0");
        }

        if (size - 1 > ulong.MaxValue - iova)
        {
            removed = 0;
            throw new VfioException(Errno.EOVERFLOW, what, "it ends past 2^64");
        }

        var range = new IovaRange(iova, iova + (size - 1));
        if (!ioas.HugePages)
        {
            ioas.Cut(what, range);
        }

        removed = 0;
        return ioas.Unmap(what, range, ref removed);
    }
}
