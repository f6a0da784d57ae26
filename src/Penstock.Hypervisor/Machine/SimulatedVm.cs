using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A machine without a processor: guest memory, interrupts, and what joins them with VFIO. The object is its user's handle; the machine lives
/// on while devices hold references, and is destroyed with the last one. All members may be called from any thread.
/// </summary>
public sealed partial class SimulatedVm : IHypervisorVm, IDisposable
{
    private readonly Lock _gate = new();
    private readonly IUserAddressSpace _userMemory;
    private readonly IUserFiles _files;
    private KvmVfio? _vfio;
    private int _references = 1;
    private int _closed;
    private int _nonCoherent;
    private volatile bool _destroyed;

    internal SimulatedVm(SimulatedKvm kvm, SimulatedVmOptions options, IUserAddressSpace memory, IUserFiles files)
    {
        Kvm = kvm;
        Options = options;
        _userMemory = memory;
        _files = files;
        Interrupts = new InterruptController();
        Irqfds = new IrqfdTable(kvm, options, Interrupts);
        IoEventfds = new IoEventfdTable(kvm.Host.Ledger);
        Memory = new GuestMemory();
        Zpci = new ZpciDevices(options.User);
        Gisa = kvm.S390?.CreateGisa(Processors);
    }

    /// <summary>The hypervisor.</summary>
    public SimulatedKvm Kvm { get; }

    /// <summary>What it has.</summary>
    public SimulatedVmOptions Options { get; }

    /// <summary>Its pending adapter interruptions; null unless the host is an s390.</summary>
    public Gisa? Gisa { get; }

    /// <summary>Its processors, as far as adapter interruptions care.</summary>
    public GuestProcessors Processors { get; } = new();

    /// <summary>Its zPCI functions.</summary>
    public ZpciDevices Zpci { get; }

    /// <inheritdoc/>
    public GuestMemory Memory { get; }

    /// <summary>The interrupt controller.</summary>
    public InterruptController Interrupts { get; }

    IInterruptSink IHypervisorVm.Interrupts => Interrupts;

    /// <summary>Eventfds that are interrupts.</summary>
    public IrqfdTable Irqfds { get; }

    /// <summary>Eventfds that are told of the guest's writes.</summary>
    public IoEventfdTable IoEventfds { get; }

    /// <summary>How many reasons there are to let the guest control its caches.</summary>
    public int NonCoherentDma => Volatile.Read(ref _nonCoherent);

    /// <summary>Whether nobody has a reference any more.</summary>
    public bool IsDestroyed => _destroyed;

    /// <summary>Called first when the machine is destroyed: nobody can get a reference any more, and everything is still there.</summary>
    public Action? Destroying { get; set; }

    /// <inheritdoc/>
    public bool TryAcquire()
    {
        int seen = Volatile.Read(ref _references);
        while (seen != 0)
        {
            int found = Interlocked.CompareExchange(ref _references, seen + 1, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    /// <inheritdoc/>
    public void Release()
    {
        int left = Interlocked.Decrement(ref _references);
        ArgumentOutOfRangeException.ThrowIfNegative(left);
        if (left == 0)
        {
            Destroy();
        }
    }

    /// <summary>Creates the device that says which VFIO files the machine has. There is at most one.</summary>
    /// <returns>The device.</returns>
    /// <exception cref="VfioException">EBUSY: it has one; EBADF: the machine is closed.</exception>
    public KvmVfio CreateVfioDevice()
    {
        const string What = "creating the VFIO device of a machine";
        lock (_gate)
        {
            if (Volatile.Read(ref _closed) != 0)
            {
                throw new VfioException(Errno.EBADF, What, "the machine is closed");
            }

            return _vfio is null
                ? _vfio = new KvmVfio(this, _userMemory, _files)
                : throw new VfioException(Errno.EBUSY, What, "it has one already");
        }
    }

    /// <summary>
    /// Closes the handle: irqfds go at once, the machine when nobody holds it any more. Its <see cref="KvmVfio"/> is a file of its own, which
    /// its user closes: one that is left with a bound device's file keeps that file open, with it the device, and with that the machine.
    /// </summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0)
        {
            try
            {
                Irqfds.Close();
            }
            finally
            {
                Release();
            }
        }
    }

    internal void Removed(KvmVfio vfio)
    {
        lock (_gate)
        {
            if (_vfio == vfio)
            {
                _vfio = null;
            }
        }
    }

    internal void RegisterNonCoherentDma() => Interlocked.Increment(ref _nonCoherent);

    internal void UnregisterNonCoherentDma() => Interlocked.Decrement(ref _nonCoherent);

    private void Destroy()
    {
        try
        {
            Destroying?.Invoke();
        }
        finally
        {
            KvmVfio? vfio;
            lock (_gate)
            {
                vfio = _vfio;
            }

            vfio?.Dispose();
            if (Gisa is not null)
            {
                Kvm.S390!.Destroy(Gisa);
            }

            IoEventfds.Clear();
            Memory.Clear();
            _destroyed = true;
        }
    }
}
