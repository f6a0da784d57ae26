using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// The I/O address space of a driver's device: a container, or an address space of an iommufd. A driver maps memory into it and gets to know
/// where its device finds it. All members may be called from any thread.
/// </summary>
public abstract class DmaAddressSpace
{
    private protected DmaAddressSpace(VfioHost host) => Host = host;

    /// <summary>The host that the address space belongs to.</summary>
    public VfioHost Host { get; }

    /// <summary>The address space of a container. Others may map into it too, at addresses of their own.</summary>
    /// <param name="container">The container, with its backend.</param>
    /// <returns>The address space; the container stays the caller's.</returns>
    public static DmaAddressSpace Of(VfioContainer container)
    {
        ArgumentNullException.ThrowIfNull(container);
        return new ContainerAddressSpace(container);
    }

    /// <summary>An address space of an iommufd.</summary>
    /// <param name="ioas">The address space, which the device is attached to.</param>
    /// <returns>The address space; it stays the caller's.</returns>
    public static DmaAddressSpace Of(Ioas ioas)
    {
        ArgumentNullException.ThrowIfNull(ioas);
        return new IoasAddressSpace(ioas);
    }

    /// <summary>Makes memory that the device and this process both reach.</summary>
    /// <param name="size">Size in bytes; rounded up to whole pages of 4096 bytes.</param>
    /// <param name="name">A name for people.</param>
    /// <param name="access">What the device may do.</param>
    /// <returns>The memory, all zeroes; the caller disposes it.</returns>
    /// <exception cref="VfioException">The address space refuses: ENOSPC, no place; ENOMEM, over the limit of locked memory; and its other errors.</exception>
    /// <exception cref="SystemCallException">The process has no descriptor or no memory left.</exception>
    public DmaMemory Allocate(ulong size, string name = "dma", DmaAccess access = DmaAccess.ReadWrite) => new(this, size, name, access);

    internal abstract ulong Map(UserMemory memory, ulong size, DmaAccess access);

    internal abstract void Unmap(ulong iova, ulong size);
}
