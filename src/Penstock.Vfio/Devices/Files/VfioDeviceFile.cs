using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// An opened device. Control calls throw <see cref="VfioException"/>; Read and Write return the error, allocate nothing and cost one
/// virtual call. Members may be called from any thread, but not while another thread disposes the file.
/// </summary>
public partial class VfioDeviceFile : VfioFile
{
    private const VfioIrqSetFlags KnownIrqFlags = VfioIrqSetFlags.DataMask | VfioIrqSetFlags.ActionsMask;

    private readonly VfioDevice _device;
    private readonly VfioGroup? _group;
    private readonly Strand? _strand;
    private volatile bool _granted;

    /// <summary>A file opened through a group is usable at once; one without a group waits for <see cref="Grant"/>.</summary>
    internal VfioDeviceFile(VfioDevice device, VfioGroup? group, IUserAddressSpace memory, IUserFiles files)
    {
        _device = device;
        _group = group;
        _granted = group is not null;
        _strand = device.Strand;
        UserMemory = memory;
        UserFiles = files;
    }

    /// <summary>Name of the device.</summary>
    public string Name => _device.Name;

    /// <inheritdoc/>
    public override IommuGroup? Group => _device.Group;

    /// <inheritdoc/>
    public override bool IsEnforcedCoherent => _device.IsEnforcedCoherent;

    internal VfioDevice Device => _device;

    internal IUserAddressSpace UserMemory { get; }

    internal IUserFiles UserFiles { get; }

    /// <summary>DEVICE_GET_INFO.</summary>
    /// <returns>Flags and counts.</returns>
    /// <exception cref="VfioException">EINVAL: closed.</exception>
    public VfioDeviceInfo GetInfo()
    {
        using (Enter("DEVICE_GET_INFO"))
        {
            return _device.GetInfo();
        }
    }

    /// <summary>DEVICE_GET_REGION_INFO.</summary>
    /// <param name="index">Region index.</param>
    /// <returns>The region; size 0 when absent.</returns>
    /// <exception cref="VfioException">EINVAL: no such index, or closed.</exception>
    public VfioRegionInfo GetRegionInfo(uint index)
    {
        using (Enter("DEVICE_GET_REGION_INFO"))
        {
            return _device.GetRegionInfo(index);
        }
    }

    /// <summary>
    /// The registers of a region whose writes may come as signals of eventfds (ioeventfd), for a user that has a hypervisor send them.
    /// </summary>
    /// <param name="region">Region index.</param>
    /// <returns>The registers; their eventfds stay the device's and are of use until the device is closed.</returns>
    /// <exception cref="VfioException">EINVAL: closed; EMFILE: the process has no descriptor left.</exception>
    public IReadOnlyList<VfioDoorbell> GetDoorbells(uint region)
    {
        using (Enter("asking for doorbells"))
        {
            return _device.GetDoorbells(region);
        }
    }

    /// <summary>DEVICE_GET_IRQ_INFO.</summary>
    /// <param name="index">Interrupt index.</param>
    /// <returns>The index's behaviour and vector count.</returns>
    /// <exception cref="VfioException">EINVAL: no such index, or closed.</exception>
    public VfioIrqInfo GetIrqInfo(uint index)
    {
        using (Enter("DEVICE_GET_IRQ_INFO"))
        {
            return _device.GetIrqInfo(index);
        }
    }

    /// <summary>DEVICE_SET_IRQS.</summary>
    /// <param name="request">The request; the caller keeps its eventfds.</param>
    /// <exception cref="VfioException">
    /// EINVAL: index, range, flags or data; ENOTTY: not exactly one action; the device's own errors.
    /// </exception>
    public void SetIrqs(in VfioIrqRequest request)
    {
        const string What = "DEVICE_SET_IRQS";
        using (Enter(What))
        {
            CheckIrqs(What, request);
            lock (_device.Gate)
            {
                _device.SetIrqs(request);
            }
        }
    }

    /// <summary>The checks that are the same for all devices, in the kernel's order.</summary>
    private void CheckIrqs(string what, in VfioIrqRequest request)
    {
        if (request.Index >= (uint)_device.GetInfo().IrqCount)
        {
            throw new VfioException(Errno.EINVAL, what, $"{Name} has no interrupt index {request.Index}");
        }

        if (request.Count >= uint.MaxValue - request.Start)
        {
            throw new VfioException(Errno.EINVAL, what, $"vectors {request.Start} + {request.Count} wrap");
        }

        if ((request.Flags & ~KnownIrqFlags) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"unknown flags 0x{(uint)request.Flags:x}");
        }

        uint vectors = _device.GetIrqInfo(request.Index).Count;
        if (request.Start >= vectors || request.Start + request.Count > vectors)
        {
            throw new VfioException(Errno.EINVAL, what, $"index {request.Index} has {vectors} vectors, asked for {request.Start} + {request.Count}");
        }

        long given = (request.Flags & VfioIrqSetFlags.DataMask) switch
        {
            VfioIrqSetFlags.DataNone => uint.MaxValue,
            VfioIrqSetFlags.DataBool => request.Bools.Length,
            VfioIrqSetFlags.DataEventfd => request.Events.Length,
            _ => throw new VfioException(Errno.EINVAL, what, "exactly one kind of data must be given"),
        };
        if (given < request.Count)
        {
            throw new VfioException(Errno.EINVAL, what, $"{request.Count} vectors but data for {given}");
        }

        if ((request.Flags & VfioIrqSetFlags.ActionsMask) is not (VfioIrqSetFlags.ActionMask or VfioIrqSetFlags.ActionUnmask or VfioIrqSetFlags.ActionTrigger))
        {
            throw new VfioException(Errno.ENOTTY, what, "exactly one action must be asked for");
        }
    }

    /// <summary>DEVICE_RESET.</summary>
    /// <exception cref="VfioException">EINVAL: the device cannot be reset, or closed.</exception>
    public void Reset()
    {
        using (Enter("DEVICE_RESET"))
        {
            lock (_device.Gate)
            {
                _device.Reset();
            }
        }
    }

    /// <summary>Reads from a region.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="data">Receives the bytes.</param>
    /// <param name="transferred">How many bytes were read, also when an error ends the access half way.</param>
    /// <returns>None; EINVAL: closed, or no such region; EIO: the device failed; the device's own errors.</returns>
    public Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        if (!_granted)
        {
            return Errno.EINVAL;
        }

        try
        {
            return _device.Read(region, offset, data, out transferred);
        }
        catch (Exception e)
        {
            return _device.Failed("read", region, offset, e);
        }
    }

    /// <summary>Writes to a region.</summary>
    /// <param name="region">Region index.</param>
    /// <param name="offset">Offset in the region.</param>
    /// <param name="data">The bytes.</param>
    /// <param name="transferred">How many bytes were written, also when an error ends the access half way.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        if (!_granted)
        {
            return Errno.EINVAL;
        }

        try
        {
            return _device.Write(region, offset, data, out transferred);
        }
        catch (Exception e)
        {
            return _device.Failed("write", region, offset, e);
        }
    }

    /// <summary>
    /// A call whose reply still has to be sent begins: work that the device posts during it waits for <see cref="EndAccess"/>.
    /// For callers that answer a peer; calls inside the process need neither. Calls may overlap; each begin needs one end, and may be
    /// followed by it even after the file was disposed.
    /// </summary>
    public void BeginAccess() => _strand?.HoldPosted();

    /// <summary>The reply is out.</summary>
    public void EndAccess() => _strand?.ReleasePosted();

    /// <summary>Binds the thread that does the device's posted work to a processor, as a caller that is bound itself may want it.</summary>
    /// <param name="processor">Number of a processor that the process may use, from 0.</param>
    public void PlacePostedWork(int processor) => _strand?.Place(processor);

    /// <summary>The device is open for this file from now on.</summary>
    private protected void Grant() => _granted = true;

    private protected override void Revoke()
    {
        _granted = false;
        _device.Mappings.Close(this);
    }

    private protected override void Closed() => _group!.CloseDevice(_device);

    /// <summary>A call of the user begins: the device is awake until the result is disposed.</summary>
    private protected Awake Enter(string what)
    {
        ThrowIfClosed(what);
        try
        {
            _device.Resume();
        }
        catch (Exception e)
        {
            throw new VfioException(Errno.EIO, what, $"{Name} is suspended and cannot be woken: {e.Message}");
        }

        return new Awake(_device);
    }

    private protected void ThrowIfClosed(string what)
    {
        if (!_granted)
        {
            throw new VfioException(Errno.EINVAL, what, $"the file of {Name} is closed, or not bound yet");
        }
    }

    /// <summary>The time in which a call keeps its device awake.</summary>
    private protected readonly ref struct Awake(VfioDevice device)
    {
        public void Dispose() => device.Suspend();
    }
}
