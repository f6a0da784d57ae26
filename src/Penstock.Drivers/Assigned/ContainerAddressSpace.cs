using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>A container, whose user has to choose the addresses.</summary>
internal sealed class ContainerAddressSpace(VfioContainer container) : DmaAddressSpace(container.Host)
{
    // Address 0 stays free: a register that was never written points there.
    private const ulong First = 0x10_0000;
    private const ulong Alignment = 0x20_0000;

    private readonly Lock _gate = new();
    private readonly SortedList<ulong, ulong> _mapped = [];

    internal override ulong Map(UserMemory memory, ulong size, DmaAccess access)
    {
        lock (_gate)
        {
            foreach (IovaRange range in container.IovaRanges)
            {
                ulong iova = AlignUp(Math.Max(range.First, First));
                while (iova >= range.First && iova <= range.Last && size - 1 <= range.Last - iova)
                {
                    if (NextAfter(iova, size) is { } next)
                    {
                        iova = next;
                        continue;
                    }

                    try
                    {
                        container.MapDma(iova, size, access, memory, 0);
                        _mapped.Add(iova, size);
                        return iova;
                    }
                    catch (VfioException e) when (e.Errno == Errno.EEXIST)
                    {
                        // Somebody else maps into this container too.
                        iova += Alignment;
                    }
                }
            }
        }

        throw new VfioException(Errno.ENOSPC, $"mapping 0x{size:x} bytes", "the container has no address range left that is long enough; unmap something first");
    }

    internal override void Unmap(ulong iova, ulong size)
    {
        lock (_gate)
        {
            _mapped.Remove(iova);
            container.UnmapDma(iova, size);
        }
    }

    private static ulong AlignUp(ulong address) => (address + Alignment - 1) & ~(Alignment - 1);

    /// <summary>Where to try next when one of our own maps is in the way; null when none is.</summary>
    private ulong? NextAfter(ulong iova, ulong size)
    {
        foreach ((ulong start, ulong length) in _mapped)
        {
            if (start < iova + size && iova < start + length)
            {
                return AlignUp(start + length);
            }
        }

        return null;
    }
}
