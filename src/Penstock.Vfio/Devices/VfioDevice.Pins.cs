using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>
/// How a driver reaches the memory of its user without a device's DMA: it pins pages, or copies. All of it works from the driver's Open on
/// until its Close has returned, on any thread, but not inside a scope of the address space.
/// </content>
public abstract partial class VfioDevice
{
    /// <summary>How many pages one call can pin.</summary>
    public const int MostPinnedPages = 512;

    private volatile IDevicePinner? _pinner;
    private volatile bool _failed;

    /// <summary>Whether the device was given up because it kept pins that it was told to drop; until it is opened anew it can pin nothing.</summary>
    public bool HasFailed => _failed;

    /// <summary>Whether the driver replaces <see cref="DmaUnmap"/>. One that does not cannot pin anything, and is not told.</summary>
    internal bool HandlesDmaUnmap { get; }

    internal IDevicePinner? Pinner
    {
        get => _pinner;
        set
        {
            _failed &= value is null;
            _pinner = value;
        }
    }

    /// <summary>
    /// Pins pages of the user's memory: they stay where they are until they are unpinned. A page may be pinned several times. When the user
    /// removes a mapping with pins in it, <see cref="DmaUnmap"/> is called.
    /// </summary>
    /// <param name="iova">I/O address of the first page.</param>
    /// <param name="count">How many, at most <see cref="MostPinnedPages"/>.</param>
    /// <param name="access">What will be done with them.</param>
    /// <param name="pages">Receives them, one for each page.</param>
    /// <returns>
    /// None; EINVAL: no count or too little room, the device is not open, the driver does not handle unmaps, a page is not mapped or not memory;
    /// E2BIG: too many; ENOTTY: the container cannot pin; EACCES: the first form of type1; EOVERFLOW: it wraps; EBUSY: the user is moving its memory;
    /// EPERM: a mapping does not grant the access; ENODEV: the memory's process has ended; EFAULT: the memory is not there; ENOMEM: over the limit
    /// of locked memory; EIO: the device was given up; EDEADLK: inside a scope. On an error nothing stays pinned.
    /// </returns>
    public Errno PinPages(ulong iova, int count, DmaAccess access, Span<PinnedPage> pages)
    {
        if (count <= 0 || _pinner is not { } pinner || !HandlesDmaUnmap)
        {
            return Errno.EINVAL;
        }

        if (count > MostPinnedPages)
        {
            return Errno.E2BIG;
        }

        return pages.Length < count ? Errno.EINVAL
            : _failed ? Errno.EIO
            : IsInScope ? Errno.EDEADLK
            : pinner.Pin(this, iova, count, access, pages);
    }

    /// <summary>Drops pins. What the device has not pinned is left alone, and noted in the log.</summary>
    /// <param name="iova">I/O address of the first page.</param>
    /// <param name="count">How many pages.</param>
    public void UnpinPages(ulong iova, int count)
    {
        if (count <= 0 || count > MostPinnedPages || _pinner?.Unpin(this, iova, count) != true)
        {
            Log?.Invoke($"{Name}: {count} pages at 0x{iova:x} were to be unpinned, and not all of them were pinned");
        }
    }

    /// <summary>Copies out of the user's memory. Earlier parts stay copied when a later one fails.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>
    /// None; EINVAL: nothing to copy, the device is not open, or not mapped; EBUSY: the user is moving its memory; EPERM: a mapping does not let
    /// devices read, or its process has ended; EFAULT: the memory is not there; EDEADLK: inside a scope.
    /// </returns>
    public Errno DmaRead(ulong iova, Span<byte> destination) => Copy(iova, destination, DmaAccess.Read);

    /// <summary>Copies into the user's memory; as <see cref="DmaRead"/>.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>As <see cref="DmaRead"/>; EPERM: a mapping does not let devices both read and write.</returns>
    public Errno DmaWrite(ulong iova, ReadOnlySpan<byte> source) => Copy(iova, TranslatingDomain.Writeable(source), DmaAccess.Write);

    /// <summary>Tells the driver that a mapping goes. Whatever it throws is only noted: its pins tell whether it has done its part.</summary>
    internal void NotifyDmaUnmap(ulong iova, ulong length)
    {
        if (!HandlesDmaUnmap)
        {
            return;
        }

        try
        {
            DmaUnmap(iova, length);
        }
        catch (Exception e)
        {
            Log?.Invoke($"{Name}: the notice that [0x{iova:x}, +0x{length:x}) is unmapped failed: {e}");
        }
    }

    internal void Fail(string why)
    {
        if (!_failed)
        {
            _failed = true;
            Log?.Invoke($"{Name}: given up: {why}");
        }
    }

    private bool IsInScope => Group?.Domain is { IsEnteredByCaller: true };

    private Errno Copy(ulong iova, Span<byte> data, DmaAccess access) =>
        data.IsEmpty || _pinner is not { } pinner ? Errno.EINVAL
        : (ulong)data.Length - 1 > ulong.MaxValue - iova ? Errno.EINVAL
        : IsInScope ? Errno.EDEADLK
        : pinner.Copy(iova, data, access);
}
