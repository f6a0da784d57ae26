using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>Mappings and dirty pages.</content>
public sealed partial class VfioContainer
{
    /// <summary>MAP_DMA.</summary>
    /// <param name="iova">First I/O address, a multiple of the smallest page.</param>
    /// <param name="size">Size in bytes, a multiple of the smallest page; the end may be exactly 2^64.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="memory">The memory; the mapping holds a reference of its own.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory, a multiple of the smallest page.</param>
    /// <param name="caller">Who maps, and is charged for the memory; null for who opened the container.</param>
    /// <exception cref="VfioException">
    /// EINVAL: no backend, bad access, size or alignment, or not inside one range; EOVERFLOW: ends past 2^64; EEXIST: overlaps a mapping;
    /// ENOSPC: no mapping left; EFAULT: past the memory's end, or WRITE on read-only memory; ENOMEM: over the caller's limit of locked
    /// memory; EBADF: closed.
    /// </exception>
    public void MapDma(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset, Caller? caller = null)
    {
        ArgumentNullException.ThrowIfNull(memory);
        lock (_gate)
        {
            RequireBackend("MAP_DMA").Map(new DmaMapRequest(iova, size, access, new DmaSource(memory, memoryOffset), caller ?? Caller));
        }
    }

    /// <summary>UNMAP_DMA: removes every mapping in the range. When it returns no device accesses them.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes; the end may be exactly 2^64.</param>
    /// <param name="all">Everything; then address and size must be 0.</param>
    /// <returns>Bytes removed, 0 when nothing was mapped.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: no backend, bad size or alignment, or a mapping would be cut, and nothing is removed; EOVERFLOW: ends past 2^64; EDEADLK: a
    /// device keeps pins that it was told to drop; EBADF: closed.
    /// </exception>
    public ulong UnmapDma(ulong iova, ulong size, bool all = false) => Unmap(iova, size, all ? VfioDmaUnmapFlags.All : VfioDmaUnmapFlags.None);

    /// <summary>UNMAP_DMA with GET_DIRTY_BITMAP: as <see cref="UnmapDma(ulong, ulong, bool)"/>, and tells what was dirty in what goes.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="pageSize">Bytes that one bit stands for: the smallest page.</param>
    /// <param name="dirty">Receives the bits; zero it before, for what is not mapped is left alone.</param>
    /// <returns>Bytes removed.</returns>
    /// <exception cref="VfioException">
    /// As above; EINVAL: dirty pages are not tracked, another page size, or a bitmap that is too small or above 256 MiB.
    /// </exception>
    public ulong UnmapDma(ulong iova, ulong size, ulong pageSize, Span<ulong> dirty)
    {
        lock (_gate)
        {
            return RequireBackend("UNMAP_DMA").Unmap(new DmaUnmapRequest
            {
                Iova = iova,
                Size = size,
                Flags = VfioDmaUnmapFlags.GetDirtyBitmap,
                Bitmap = new DirtyBitmap(dirty, pageSize),
            });
        }
    }

    /// <summary>
    /// UNMAP_DMA with VADDR: the memory of whole mappings is about to move to another place. Devices go on; drivers can neither pin nor copy, and
    /// no group can join, until all mappings have their new place.
    /// </summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="all">Everything; then address and size must be 0.</param>
    /// <returns>Bytes marked.</returns>
    /// <exception cref="VfioException">
    /// As <see cref="UnmapDma(ulong, ulong, bool)"/>; EBUSY: an emulated group is in the container; EINVAL: taken away already, and nothing
    /// has changed.
    /// </exception>
    public ulong InvalidateVaddr(ulong iova, ulong size, bool all = false) =>
        Unmap(iova, size, VfioDmaUnmapFlags.Vaddr | (all ? VfioDmaUnmapFlags.All : VfioDmaUnmapFlags.None));

    /// <summary>MAP_DMA with VADDR: the new place of a mapping's memory, which holds the same as before.</summary>
    /// <param name="iova">Address of the mapping.</param>
    /// <param name="size">Its size.</param>
    /// <param name="memory">The memory; the mapping holds a reference of its own.</param>
    /// <param name="memoryOffset">Offset of the first byte in the memory.</param>
    /// <param name="caller">Who is charged from now on; null for who opened the container.</param>
    /// <exception cref="VfioException">
    /// ENOENT: nothing is mapped there; EINVAL: not exactly one mapping whose place was taken away; ENOMEM: over the caller's limit, and
    /// nothing has changed; EFAULT: past the memory's end, or memory that does not allow what the mapping grants.
    /// </exception>
    public void UpdateVaddr(ulong iova, ulong size, UserMemory memory, ulong memoryOffset, Caller? caller = null)
    {
        ArgumentNullException.ThrowIfNull(memory);
        lock (_gate)
        {
            RequireBackend("MAP_DMA").UpdateVaddr(new DmaMapRequest(iova, size, DmaAccess.None, new DmaSource(memory, memoryOffset), caller ?? Caller));
        }
    }

    /// <summary>DIRTY_PAGES with START. Without effect when started already.</summary>
    /// <exception cref="VfioException">
    /// EINVAL: no backend, or a mapping is too large for a bitmap; EACCES: the first form of type1; ENOTTY: another backend.
    /// </exception>
    public void StartDirtyTracking() => TrackDirty(true);

    /// <summary>DIRTY_PAGES with STOP. Without effect when not started.</summary>
    /// <exception cref="VfioException">EINVAL: no backend; EACCES: the first form of type1; ENOTTY: another backend.</exception>
    public void StopDirtyTracking() => TrackDirty(false);

    /// <summary>
    /// DIRTY_PAGES with GET: what is dirty since the last time. As long as a real group is there none of whose devices has pinned anything,
    /// everything is dirty each time. Pages that are still pinned are dirty again the next time.
    /// </summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes; holes are allowed.</param>
    /// <param name="pageSize">Bytes that one bit stands for: the smallest page.</param>
    /// <param name="dirty">Receives the bits; zero it before, for what is not mapped is left alone.</param>
    /// <exception cref="VfioException">
    /// EINVAL: not tracking, another page size, bad size or alignment, a mapping is cut, or a bitmap that is too small or above 256 MiB;
    /// EOVERFLOW: ends past 2^64; EACCES: the first form of type1; ENOTTY: another backend.
    /// </exception>
    public void GetDirtyPages(ulong iova, ulong size, ulong pageSize, Span<ulong> dirty)
    {
        lock (_gate)
        {
            RequireBackend("DIRTY_PAGES").GetDirtyPages(iova, size, new DirtyBitmap(dirty, pageSize));
        }
    }

    private ulong Unmap(ulong iova, ulong size, VfioDmaUnmapFlags flags)
    {
        lock (_gate)
        {
            return RequireBackend("UNMAP_DMA").Unmap(new DmaUnmapRequest { Iova = iova, Size = size, Flags = flags });
        }
    }

    private void TrackDirty(bool enable)
    {
        lock (_gate)
        {
            RequireBackend("DIRTY_PAGES").SetDirtyTracking(enable);
        }
    }
}
