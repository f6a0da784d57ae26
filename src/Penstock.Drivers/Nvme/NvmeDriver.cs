using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// Drives an NVMe controller (NVM Express base specification 1.4, PCIe) from user space, one namespace of it. Three ways to move blocks: synchronous
/// calls on spans, which poll and allocate nothing; asynchronous calls with cancellation, completed by interrupts or a polling thread; and
/// queues of one's own without copies (<see cref="CreateQueue"/>). Commands that the controller refuses are <see cref="NvmeException"/>s, everything else
/// is a <see cref="VfioException"/>. All members may be called from any thread, but not beside <see cref="Dispose"/>.
/// </summary>
public sealed unsafe partial class NvmeDriver : IDisposable
{
    private const ulong Page = NvmeLimits.PageSize;
    private const int AdminEntries = 32;
    private const int AdminBuffer = 2 * NvmeLimits.PageSize;
    private const int SynchronousQueue = 1;

    private readonly AssignedDevice _device;
    private readonly NvmeDriverOptions _options;
    private readonly NvmeCapabilities _capabilities;
    private readonly NvmeDoorbells _doorbells;
    private readonly DmaMemory _adminMemory;
    private readonly NvmeChannel _admin;
    private readonly Lock _control = new();
    private readonly List<NvmeQueue> _queues = [];
    private readonly DmaMemory? _pool;
    private readonly NvmeChannel[] _channels = [];
    private readonly int _asynchronousChannels;
    private bool _disposed;

    /// <summary>Takes over a controller: resets it, sets up queues, and asks what it is.</summary>
    /// <param name="device">The controller; it stays the caller's, who disposes it after the driver.</param>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <exception cref="VfioException">
    /// ENODEV: it is no NVMe controller, lacks what this driver needs, or has no such namespace; ETIMEDOUT: it does not become ready; EIO: it
    /// failed; the device's own errors.
    /// </exception>
    /// <exception cref="NvmeException">It refused a command of the set-up.</exception>
    public NvmeDriver(AssignedDevice device, NvmeDriverOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        _device = device;
        _options = Check(options ?? new NvmeDriverOptions());
        if (device.ClassCode != NvmePci.ClassCode)
        {
            throw new VfioException(Errno.ENODEV, $"driving {Name}", $"its class is 0x{device.ClassCode:x6} and not that of NVMe controllers, 0x{NvmePci.ClassCode:x6}");
        }

        device.SetCommand(PciCommand.Memory | PciCommand.BusMaster | PciCommand.InterruptDisable);
        _capabilities = ReadCapabilities();
        _doorbells = new NvmeDoorbells(device, _capabilities.DoorbellStride, _options.MapDoorbells);
        ulong rings = RoundUp(NvmeRing.SizeOf(AdminEntries));
        try
        {
            // Two pages for the shadow doorbells come last.
            _adminMemory = device.Memory.Allocate(rings + ((ulong)(AdminEntries - 1) * AdminBuffer) + (2 * Page), "nvme admin");
            var ring = new NvmeRing(0, AdminEntries, _doorbells, _adminMemory.Pointer, _adminMemory.Iova);
            _admin = new NvmeChannel(this, ring, _adminMemory.Pointer + rings, _adminMemory.Iova + rings, AdminBuffer);
            Enable();
            Controller = IdentifyController();
            Namespace = IdentifyNamespace(_options.NamespaceId);
            TransferSize = Math.Min(Math.Min(_options.TransferSize, Controller.MaxTransfer), NvmeRing.LargestTransfer) / Namespace.BlockSize * Namespace.BlockSize;
            if (TransferSize == 0)
            {
                throw new VfioException(Errno.ENODEV, $"driving {Name}", $"a command moves at most {Controller.MaxTransfer} bytes, and a block has {Namespace.BlockSize}");
            }

            int granted = SetQueueCount(Wanted);
            QueueEntries = Math.Min(_options.QueueDepth, _capabilities.MaxQueueEntries);
            _asynchronousChannels = Math.Clamp(granted - SynchronousQueue, 1, _options.QueuePairs);
            _pool = AllocatePool(Math.Min(granted, SynchronousQueue + _asynchronousChannels));
            _channels = MakeChannels(Math.Min(granted, SynchronousQueue + _asynchronousChannels));
            GrantedQueues = granted;
            BindInterrupts();
            CreateQueues();
            StartWatching();
        }
        catch
        {
            TakeDown(orderly: false);
            throw;
        }
    }

    /// <summary>The device's name.</summary>
    public string Name => _device.Name;

    /// <summary>What the controller says about itself.</summary>
    public NvmeControllerInfo Controller { get; }

    /// <summary>What it says about the namespace that this driver uses.</summary>
    public NvmeNamespaceInfo Namespace { get; }

    /// <summary>Most bytes of one command, a multiple of the block size. Longer calls are split.</summary>
    public int TransferSize { get; }

    /// <summary>Entries of each I/O queue.</summary>
    public int QueueEntries { get; }

    /// <summary>How many I/O queue pairs the controller allows.</summary>
    public int GrantedQueues { get; }

    /// <summary>Whether doorbells are written through a mapping, without a call of the device.</summary>
    public bool HasMappedDoorbells => _doorbells.AreMapped;

    /// <summary>Whether shadow doorbells are in use.</summary>
    public bool HasShadowDoorbells => _doorbells.AreShadowed;

    /// <summary>Whether interrupts complete asynchronous calls; a thread polls otherwise.</summary>
    public bool HasInterrupts => _watches.Count != 0;

    internal TimeSpan CommandTimeout => _options.CommandTimeout;

    private int Wanted => SynchronousQueue + _options.QueuePairs + OwnQueues;

    /// <summary>Memory that the controller reaches, for <see cref="NvmeQueue"/>s.</summary>
    /// <param name="size">Size in bytes.</param>
    /// <returns>The memory, all zeroes; dispose it when no command uses it any more.</returns>
    /// <exception cref="VfioException">There is no place in the address space.</exception>
    public DmaMemory AllocateMemory(ulong size) => _device.Memory.Allocate(size, "nvme data");

    /// <summary>Shuts the controller down in order, so that all it was given is durable, and gives everything back.</summary>
    public void Dispose()
    {
        lock (_control)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        TakeDown(orderly: true);
    }

    private static NvmeDriverOptions Check(NvmeDriverOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.QueuePairs, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.QueuePairs, ushort.MaxValue - 64);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.QueueDepth, NvmeLimits.MinimumQueueEntries);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.QueueDepth, NvmeLimits.MaximumAdminQueueEntries);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.TransferSize, NvmeLimits.PageSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.TransferSize, NvmeRing.LargestTransfer);
        ArgumentOutOfRangeException.ThrowIfNotEqual(options.TransferSize % NvmeLimits.PageSize, 0);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.CommandTimeout, TimeSpan.Zero);
        return options;
    }

    private static ulong RoundUp(ulong bytes) => (bytes + Page - 1) & ~(Page - 1);

    /// <summary>One piece of memory for all queues and buffers of the shared channels, for as long as the driver lives.</summary>
    private DmaMemory AllocatePool(int channels) => _device.Memory.Allocate((ulong)channels * ChannelSize, "nvme queues");

    private ulong ChannelSize => NvmeRing.SizeOf(QueueEntries) + ((ulong)(QueueEntries - 1) * BufferSize);

    /// <summary>Buffers begin at pages, so that only the first PRP can have an offset, and it has none.</summary>
    private ulong BufferSize => RoundUp((ulong)TransferSize);

    private NvmeChannel[] MakeChannels(int count)
    {
        var channels = new NvmeChannel[count];
        for (int i = 0; i < count; i++)
        {
            ulong at = (ulong)i * ChannelSize;
            ulong buffers = at + NvmeRing.SizeOf(QueueEntries);
            var ring = new NvmeRing(i + 1, QueueEntries, _doorbells, _pool!.Pointer + at, _pool.Iova + at);
            channels[i] = new NvmeChannel(this, ring, _pool.Pointer + buffers, _pool.Iova + buffers, (int)BufferSize);
        }

        return channels;
    }

    /// <summary>The channel of synchronous calls, which has no interrupt where there is another one.</summary>
    private NvmeChannel Synchronous => _channels[0];

    /// <summary>A channel for an asynchronous call: calls of one thread stay on one channel.</summary>
    private NvmeChannel Asynchronous => _channels.Length == 1
        ? _channels[0]
        : _channels[1 + ((int)((uint)Environment.CurrentManagedThreadId % (uint)(_channels.Length - 1)))];

    private void TakeDown(bool orderly)
    {
        StopWatching();
        var gone = new VfioException(Errno.ECANCELED, $"a command of {Name}", "the driver was disposed");
        foreach (NvmeChannel channel in _channels)
        {
            channel.Stop(gone);
            channel.Empty();
        }

        NvmeQueue[] queues;
        lock (_control)
        {
            queues = [.. _queues];
            _queues.Clear();
        }

        Array.ForEach(queues, static q => q.Lose());
        if (_admin is not null)
        {
            End(orderly);
            _admin.Stop(gone);
            _admin.Empty();
            _admin.Dispose();
        }

        Array.ForEach(_channels, static c => c.Dispose());
        Array.ForEach(queues, static q => q.Free());
        _pool?.Dispose();
        _adminMemory?.Dispose();
        _doorbells.Dispose();
    }
}
