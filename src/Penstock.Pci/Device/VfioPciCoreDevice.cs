using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>
/// A PCI function as a VFIO device: regions over its BARs and configuration space, its interrupts as eventfds, and its resets. Drivers
/// that treat a function specially derive from this class and replace single members. Accesses of users and calls into the function
/// run on the function's strand, one at a time.
/// </summary>
public partial class VfioPciCoreDevice : VfioDevice, IDisposable
{
    private readonly IommuGroup? _group;
    private readonly IPciFunction _function;
    private readonly PciConfigSpace _config;
    private readonly Strand _strand;
    private readonly FunctionPort _port;
    private readonly PowerManagementCapability? _power;
    private readonly MsiCapability? _msi;
    private readonly MsixCapability? _msix;
    private readonly Action<string>? _log;
    private readonly ResourceLedger? _ledger;
    private readonly IrqBypass _bypass;
    private readonly EventWatcher _events;
    private volatile bool _isMaster;

    /// <summary>Makes a device of a function and plugs the function in.</summary>
    /// <param name="name">Name by which users open it: <c>dddd:bb:dd.f</c>.</param>
    /// <param name="function">The hardware.</param>
    /// <param name="group">The IOMMU group that the function's DMA goes through; its host counts what the device owns.</param>
    /// <param name="log">
    /// Receives a line for each thing that somebody should know; called from any thread. Null for the host's own.
    /// </param>
    /// <exception cref="ArgumentException">The function's BARs or capabilities cannot be so; the text says which and why.</exception>
    public VfioPciCoreDevice(string name, IPciFunction function, IommuGroup group, Action<string>? log = null)
        : this(name, function, (group ?? throw new ArgumentNullException(nameof(group))).Unit.Host, group, log)
    {
    }

    /// <summary>
    /// Makes a device of a function that is software only, such as a slice of a parent: it has no IOMMU, and gets a group while it is
    /// registered with <see cref="VfioHost.RegisterEmulated"/>.
    /// </summary>
    /// <param name="name">Name by which users open it.</param>
    /// <param name="function">The function.</param>
    /// <param name="host">Its host, which counts what the device owns.</param>
    /// <param name="log">As for a function behind an IOMMU.</param>
    protected VfioPciCoreDevice(string name, IPciFunction function, VfioHost host, Action<string>? log = null)
        : this(name, function, host ?? throw new ArgumentNullException(nameof(host)), null, log)
    {
    }

    private VfioPciCoreDevice(string name, IPciFunction function, VfioHost host, IommuGroup? group, Action<string>? log)
        : base(name)
    {
        ArgumentNullException.ThrowIfNull(function);
        _group = group;
        _function = function;
        _log = LogSink.Contain(log) ?? host.Options.Log;
        _ledger = host.Ledger;
        _bypass = host.IrqBypass;
        _events = host.Events;
        _strand = new Strand(name, _ledger, _log);
        _config = new PciConfigSpace(function.Description, new Effects(this));
        _intx = new IntxLine(_config);
        _power = _config.Find<PowerManagementCapability>();
        _msi = _config.Find<MsiCapability>();
        _msix = _config.Find<MsixCapability>();
        _msiEvents = new VectorEvents(_msi?.Vectors ?? 0);
        _msixEvents = new VectorEvents(_msix?.Vectors ?? 0);
        _port = new FunctionPort(this, group is null ? new DmaPort(this, _strand) : new DmaPort(group, _strand));
        ApplyCommand();
        function.Attach(_port);
        _migration = CreateMigration();
    }

    /// <inheritdoc/>
    protected override void Registering(IommuGroup group)
    {
        if (_group is null ? !group.IsEmulated : group != _group)
        {
            throw new VfioException(
                Errno.EINVAL,
                $"registering {Name} in {group}",
                _group is null ? "it is software without an IOMMU; register it as an emulated device" : $"the DMA of its function goes through {_group}; register it there");
        }
    }

    /// <summary>The function's line of execution.</summary>
    protected override Strand Strand => _strand;

    internal Strand Line => _strand;

    /// <summary>The function behind the device.</summary>
    protected IPciFunction Function => _function;

    /// <summary>The function's configuration space. Enter the strand first.</summary>
    protected PciConfigSpace Config => _config;

    /// <summary>Ends the strand. The device must not be in use any more.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends what the device owns.</summary>
    /// <param name="disposing">Always true; there is no finalizer.</param>
    protected virtual void Dispose(bool disposing)
    {
        if (disposing)
        {
            _strand.Dispose();
        }
    }
}
