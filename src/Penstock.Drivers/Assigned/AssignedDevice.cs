using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// What a driver in user space needs of a device: its file, and the I/O address space that its DMA goes through. A driver written against it
/// runs on whatever is behind the file: a model in this process, a device that another process serves. Control calls and typed accesses
/// throw <see cref="VfioException"/>. Members may be called from any thread, but not beside <see cref="Dispose"/>.
/// </summary>
public sealed class AssignedDevice : IDisposable
{
    private readonly VfioGroup? _group;

    /// <summary>Puts together what is open already; both stay the caller's.</summary>
    /// <param name="file">The device file.</param>
    /// <param name="memory">The address space that the device is attached to.</param>
    public AssignedDevice(VfioDeviceFile file, DmaAddressSpace memory)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(memory);
        File = file;
        Memory = memory;
    }

    private AssignedDevice(VfioContainer container, VfioGroup group, VfioDeviceFile file)
        : this(file, DmaAddressSpace.Of(container))
    {
        Container = container;
        _group = group;
    }

    /// <summary>The device file.</summary>
    public VfioDeviceFile File { get; }

    /// <summary>The address space.</summary>
    public DmaAddressSpace Memory { get; }

    /// <summary>The container that <see cref="Open"/> made; null for a device that was put together.</summary>
    public VfioContainer? Container { get; }

    /// <summary>The device's name.</summary>
    public string Name => File.Name;

    /// <summary>Vendor id, from configuration space.</summary>
    public ushort VendorId => (ushort)Read32(VfioRegions.Config, PciConfigOffsets.VendorId);

    /// <summary>Device id, from configuration space.</summary>
    public ushort DeviceId => (ushort)(Read32(VfioRegions.Config, PciConfigOffsets.VendorId) >> 16);

    /// <summary>Class, subclass and programming interface, from configuration space.</summary>
    public uint ClassCode => Read32(VfioRegions.Config, PciConfigOffsets.Revision) >> 8;

    /// <summary>Opens a device of a host as its only user: a container of its own, the group, the device file.</summary>
    /// <param name="host">The host.</param>
    /// <param name="name">The device's name.</param>
    /// <param name="caller">Who opens; null for this process.</param>
    /// <returns>The device, which the caller disposes.</returns>
    /// <exception cref="VfioException">ENODEV: the host has no such device; EBUSY: its group is open; the errors of the calls on the way.</exception>
    public static AssignedDevice Open(VfioHost host, string name, Caller? caller = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        VfioDevice device = host.Devices.FirstOrDefault(d => d.Name == name)
            ?? throw new VfioException(Errno.ENODEV, $"opening {name}", "the host has no such device");
        int number = device.Group?.Number ?? throw new VfioException(Errno.ENODEV, $"opening {name}", "it is being taken back");
        caller ??= Caller.Current;
        VfioGroup? group = null;
        VfioContainer container = host.OpenContainer(caller);
        try
        {
            group = host.OpenGroup(number, caller);
            group.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            return new AssignedDevice(container, group, group.OpenDevice(name));
        }
        catch
        {
            group?.Dispose();
            container.Dispose();
            throw;
        }
    }

    /// <summary>Switches bits of the command register on, others off, and keeps the rest.</summary>
    /// <param name="set">On.</param>
    /// <param name="clear">Off.</param>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public void SetCommand(PciCommand set, PciCommand clear = PciCommand.None)
    {
        Span<byte> data = stackalloc byte[sizeof(ushort)];
        Read(VfioRegions.Config, PciConfigOffsets.Command, data);
        var command = (PciCommand)BinaryPrimitives.ReadUInt16LittleEndian(data);
        BinaryPrimitives.WriteUInt16LittleEndian(data, (ushort)((command & ~clear) | set));
        Write(VfioRegions.Config, PciConfigOffsets.Command, data);
    }

    /// <summary>Binds the vectors of an interrupt index, from the first on.</summary>
    /// <param name="index">The index, one of <see cref="VfioIrqs"/>.</param>
    /// <param name="events">The eventfds, which stay the caller's.</param>
    /// <exception cref="VfioException">The device refuses.</exception>
    public void BindInterrupts(int index, params ReadOnlySpan<EventDescriptor?> events) => File.SetIrqs(new VfioIrqRequest
    {
        Index = (uint)index,
        Count = (uint)events.Length,
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Events = events,
    });

    /// <summary>Unmasks the interrupt pin, which its signal has masked.</summary>
    /// <exception cref="VfioException">It is not bound.</exception>
    public void UnmaskPin() => File.SetIrqs(new VfioIrqRequest { Index = VfioIrqs.Intx, Count = 1, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask });

    /// <summary>Takes the bindings of an interrupt index away.</summary>
    /// <param name="index">The index.</param>
    /// <exception cref="VfioException">The device refuses.</exception>
    public void ReleaseInterrupts(int index) => File.SetIrqs(new VfioIrqRequest { Index = (uint)index, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger });

    /// <summary>Reads a register of 1 byte.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <returns>The value.</returns>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public byte Read8(uint region, ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(byte)];
        Read(region, offset, data);
        return data[0];
    }

    /// <summary>Reads a register of 4 bytes.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <returns>The value.</returns>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public uint Read32(uint region, ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(uint)];
        Read(region, offset, data);
        return BinaryPrimitives.ReadUInt32LittleEndian(data);
    }

    /// <summary>Reads a register of 8 bytes.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <returns>The value.</returns>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public ulong Read64(uint region, ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(ulong)];
        Read(region, offset, data);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    /// <summary>Writes a register of 1 byte.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public void Write8(uint region, ulong offset, byte value) => Write(region, offset, [value]);

    /// <summary>Writes a register of 4 bytes.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public void Write32(uint region, ulong offset, uint value)
    {
        Span<byte> data = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(data, value);
        Write(region, offset, data);
    }

    /// <summary>Writes a register of 8 bytes.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="VfioException">The device answers with an error.</exception>
    public void Write64(uint region, ulong offset, ulong value)
    {
        Span<byte> data = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Write(region, offset, data);
    }

    /// <summary>Closes what <see cref="Open"/> opened: file, group, container.</summary>
    public void Dispose()
    {
        if (Container is not null)
        {
            File.Dispose();
            _group!.Dispose();
            Container.Dispose();
        }
    }

    private void Read(uint region, ulong offset, Span<byte> data)
    {
        Errno errno = File.Read(region, offset, data, out int transferred);
        Check("reading", region, offset, data.Length, transferred, errno);
    }

    private void Write(uint region, ulong offset, ReadOnlySpan<byte> data)
    {
        Errno errno = File.Write(region, offset, data, out int transferred);
        Check("writing", region, offset, data.Length, transferred, errno);
    }

    private void Check(string what, uint region, ulong offset, int length, int transferred, Errno errno)
    {
        if (errno != Errno.None || transferred != length)
        {
            throw new VfioException(
                errno == Errno.None ? Errno.EIO : errno,
                $"{what} {length} bytes at 0x{offset:x} of region {region} of {Name}",
                errno == Errno.None ? $"only {transferred} were transferred" : "the device answers so");
        }
    }
}
