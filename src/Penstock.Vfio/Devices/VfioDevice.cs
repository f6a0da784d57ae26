using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A device as VFIO sees it: regions, interrupts, reset. A driver derives from this class and replaces what it handles, one method each.
/// The host calls Open before the first other call and Close after the last one. Read and Write may be called from
/// several threads at once; Open, Close, SetIrqs and Reset are called one at a time.
/// </summary>
public abstract partial class VfioDevice
{
    /// <summary>Creates a device that is not registered yet.</summary>
    /// <param name="name">Name by which users open it, for PCI <c>dddd:bb:dd.f</c>.</param>
    protected VfioDevice(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        Name = name;
        HandlesDmaUnmap = new Action<ulong, ulong>(DmaUnmap).Method.DeclaringType != typeof(VfioDevice);
    }

    /// <summary>Name by which users open it.</summary>
    public string Name { get; }

    /// <summary>First open.</summary>
    /// <exception cref="VfioException">The device cannot be used; the open fails with this error and nothing is left behind.</exception>
    protected internal virtual void Open()
    {
    }

    /// <summary>Last close: every interrupt is torn down, nothing that users gave is kept.</summary>
    protected internal virtual void Close()
    {
    }

    /// <summary>GET_INFO.</summary>
    /// <returns>Flags and counts.</returns>
    protected internal abstract VfioDeviceInfo GetInfo();

    /// <summary>GET_REGION_INFO.</summary>
    /// <param name="index">Region index as the user gave it.</param>
    /// <returns>The region.</returns>
    /// <exception cref="VfioException">EINVAL: no such index.</exception>
    protected internal abstract VfioRegionInfo GetRegionInfo(uint index);

    /// <summary>The registers of a region whose writes may come as signals of eventfds.</summary>
    /// <param name="region">Region index as the user gave it.</param>
    /// <returns>The registers, in the order in which the device declares them; none by default.</returns>
    /// <exception cref="VfioException">EMFILE: the process has no descriptor left.</exception>
    protected internal virtual IReadOnlyList<VfioDoorbell> GetDoorbells(uint region) => [];

    /// <summary>GET_IRQ_INFO.</summary>
    /// <param name="index">Interrupt index as the user gave it.</param>
    /// <returns>The index's behaviour and vector count.</returns>
    /// <exception cref="VfioException">EINVAL: no such index.</exception>
    protected internal abstract VfioIrqInfo GetIrqInfo(uint index);

    /// <summary>SET_IRQS. The generic checks of the index, range and data have been made by the device file.</summary>
    /// <param name="request">The request.</param>
    /// <exception cref="VfioException">As the interrupt tables say; ENOTTY for an action that the index does not have.</exception>
    protected internal abstract void SetIrqs(in VfioIrqRequest request);

    /// <summary>Reads from a region. A hot path: allocates nothing, throws nothing.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="data">Receives the bytes.</param>
    /// <param name="transferred">How many bytes were read, also when an error ends the access half way.</param>
    /// <returns>None, or the error.</returns>
    protected internal abstract Errno Read(uint region, ulong offset, Span<byte> data, out int transferred);

    /// <summary>Writes to a region; as <see cref="Read"/>.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="transferred">How many bytes were written, also when an error ends the access half way.</param>
    /// <returns>None, or the error.</returns>
    protected internal abstract Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred);

    /// <summary>DEVICE_RESET.</summary>
    /// <exception cref="VfioException">EINVAL: the device cannot be reset.</exception>
    protected internal virtual void Reset() =>
        throw new VfioException(Errno.EINVAL, $"reset of {Name}", "the device has no reset");

    /// <summary>
    /// A user's call begins, while the device may be suspended to save power: wakes it. Called before each call except reads, writes and the
    /// binding to an iommufd, from several threads at once; each one that returns is followed by one <see cref="Suspend"/>.
    /// </summary>
    /// <exception cref="VfioException">It cannot be woken; the user's call fails with EIO.</exception>
    protected internal virtual void Resume()
    {
    }

    /// <summary>A user's call is over: the device may sleep again.</summary>
    protected internal virtual void Suspend()
    {
    }

    /// <summary>Whether its DMA can carry process address space ids, so that users may attach them.</summary>
    protected internal virtual bool TakesPasids => false;

    /// <summary>A call that the core does not handle itself, with the kernel's number and structure.</summary>
    /// <param name="request">The number.</param>
    /// <param name="argument">The structure, to be answered in place.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: the device does not know it either.</exception>
    protected internal virtual int Ioctl(uint request, Span<byte> argument) =>
        throw new VfioException(Errno.ENOTTY, $"request 0x{request:x} to {Name}", "the device does not know it");

    /// <summary>The host wants the device back; called again and again until it is closed.</summary>
    /// <param name="round">0 at first, counting up.</param>
    protected internal virtual void Request(uint round)
    {
    }

    /// <summary>
    /// A mapping in which something is pinned goes away: every pin of the device inside must be dropped before this returns. A driver that
    /// does not replace it cannot pin. Called on the thread that unmaps, without locks held; when the device is detached, moved or closed,
    /// with those of its group and itself: never wait in it for a call on a file. It may be called again for the same mapping, and also
    /// while the device is being opened or closed.
    /// </summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Length in bytes.</param>
    protected internal virtual void DmaUnmap(ulong iova, ulong length)
    {
    }
}
