using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// A disk: an NVM Express controller (base specification 1.4, PCIe transport) with one namespace on a backing. Queues with shared completion
/// queues, PRPs, MSI-X and INTx, asynchronous events, shadow doorbells; see docs/devices/nvme.md for what it answers and what not. Idle it
/// sleeps, unless it polls. It owns threads where the backing may wait: dispose it when it is unplugged.
/// </summary>
public sealed partial class NvmeFunction : IMigratableFunction, IDisposable
{
    private const byte InterruptPinA = 1;
    private const int VectorsBesideIo = 1;
    private const int LargestAccess = sizeof(ulong);

    private readonly NvmeController _controller;
    private readonly INvmeBacking _backing;
    private readonly SharedMemory? _doorbells;

    /// <summary>Makes a disk.</summary>
    /// <param name="backing">Where its blocks are; disposed with the disk.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option cannot be so, or the backing is not a whole number of blocks.</exception>
    public NvmeFunction(INvmeBacking backing, NvmeOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(backing);
        options ??= new NvmeOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.IoQueues, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.IoQueues, NvmeOptions.MostIoQueues, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.QueueEntries, NvmeLimits.MinimumQueueEntries, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.QueueEntries, NvmeOptions.MostQueueEntries, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Workers, 1, nameof(options));
        _backing = backing;
        _doorbells = options.Poll ? SharedMemory.Create("nvme doorbells", NvmeLayout.BarSize) : null;
        Description = Describe(options, _doorbells);
        var identity = new NvmeIdentity
        {
            VendorId = Description.VendorId,
            SubsystemVendorId = Description.SubsystemVendorId,
            SerialNumber = options.SerialNumber,
            MaxTransferShift = NvmeOptions.TransferShift,
            AsyncEventLimit = NvmeEvents.Limit,
            DoorbellBuffer = !options.Poll,
            IoQueues = options.IoQueues,
            Vectors = options.IoQueues + VectorsBesideIo,
        };
        _controller = new NvmeController(
            new NvmeNamespace(backing, options.BlockSize, options.SerialNumber, accesses: options.Workers + 1), identity, options, _doorbells);
        State = DeclareState();
    }

    /// <inheritdoc/>
    public PciFunctionDescription Description { get; }

    /// <summary>Interrupt messages sent so far. From any thread.</summary>
    public long InterruptsSent => _controller.InterruptsSent;

    /// <summary>How many threads the disk has beside the strand's. From any thread.</summary>
    public int WorkerThreads => _controller.WorkerThreads;

    /// <summary>The controller, for the console.</summary>
    internal NvmeController Controller => _controller;

    /// <inheritdoc/>
    public void Attach(PciFunctionPort port)
    {
        ArgumentNullException.ThrowIfNull(port);
        _controller.Attach(port);
    }

    /// <inheritdoc/>
    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        if (!InBar(bar, offset, data.Length))
        {
            return Errno.EINVAL;
        }

        // Registers have 4 bytes or 8, of which each half is one; a narrower read is part of a double word.
        ulong value = _controller.ReadRegister(offset & ~(ulong)(sizeof(uint) - 1));
        if (data.Length == sizeof(ulong))
        {
            value |= (ulong)_controller.ReadRegister(offset + sizeof(uint)) << (8 * sizeof(uint));
        }
        else
        {
            value >>= 8 * (int)(offset % sizeof(uint));
        }

        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        bytes[..data.Length].CopyTo(data);
        return Errno.None;
    }

    /// <inheritdoc/>
    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (!InBar(bar, offset, data.Length))
        {
            return Errno.EINVAL;
        }

        // No register is narrower than a double word.
        if (data.Length >= sizeof(uint))
        {
            _controller.WriteRegister(offset, BinaryPrimitives.ReadUInt32LittleEndian(data));
        }

        if (data.Length == sizeof(ulong))
        {
            _controller.WriteRegister(offset + sizeof(uint), BinaryPrimitives.ReadUInt32LittleEndian(data[sizeof(uint)..]));
        }

        return Errno.None;
    }

    /// <inheritdoc/>
    public void Reset(PciResetKind kind)
    {
        _controller.ResetAll();
        if (kind == PciResetKind.Close)
        {
            _controller.Namespace.ForgetMoved();
        }
    }

    /// <summary>Ends the threads and gives the backing back. Unplug the function first.</summary>
    public void Dispose()
    {
        _controller.Dispose();
        _backing.Dispose();
        _doorbells?.Release();
    }

    private static bool InBar(int bar, ulong offset, int length) =>
        bar == NvmePci.RegistersBar && length <= LargestAccess && offset <= NvmeLayout.BarSize - (ulong)length;

    private static PciFunctionDescription Describe(NvmeOptions options, SharedMemory? doorbells) => new()
    {
        VendorId = NvmeLayout.VendorId,
        DeviceId = NvmeLayout.DeviceId,
        SubsystemVendorId = NvmeLayout.VendorId,
        SubsystemId = NvmeLayout.SubsystemId,
        ClassCode = NvmePci.ClassCode,
        InterruptPin = InterruptPinA,

        // Drivers in user space turn on bus mastering and nothing else: whoever opened the device for them has enabled it.
        InitialCommand = PciCommand.Memory,
        Bars =
        [
            new PciBar(NvmePci.RegistersBar, PciBarKind.Memory64, NvmeLayout.BarSize)
            {
                Memory = doorbells,
                MappableAreas = doorbells is null ? null : [new VfioRegionArea(NvmeRegisters.Doorbells, NvmeLimits.PageSize)],
            },
        ],
        Capabilities = () =>
        [
            new PowerManagementCapability(),
            new ExpressCapability(),
            new MsixCapability(
                options.IoQueues + VectorsBesideIo, NvmePci.RegistersBar, NvmeLayout.MsixTable, NvmePci.RegistersBar, NvmeLayout.MsixPending),
        ],
    };
}
