using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>
/// A function model on a test bench, without a VM: plugged into a host of its own and opened as a user opens it, through a container, a
/// group and a device file, so that everything between a driver and the model is the real thing. Disposing it closes everything in a
/// user's order and then fails when something is still owned, when the model threw, or when memory beside a buffer was touched.
/// <para>
/// Members that fail throw <see cref="TestBenchException"/>. All may be called from any thread, but not while another one closes or disposes.
/// </para>
/// </summary>
public sealed partial class FunctionTestBench : IDisposable
{
    private readonly FunctionTestBenchOptions _options;
    private readonly Slot _device;
    private readonly int _groupNumber;
    private readonly ConcurrentQueue<string> _log = new();
    private readonly TestRegion?[] _regions = new TestRegion?[VfioRegions.Count];
    private VfioContainer? _container;
    private VfioGroup? _group;
    private VfioDeviceFile? _file;
    private bool _disposed;

    /// <summary>Plugs a function in, opens it and writes its command register.</summary>
    /// <param name="function">The model. It can be plugged in once; who made it disposes it, after the bench.</param>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <exception cref="ArgumentException">The function's description cannot be so.</exception>
    public FunctionTestBench(IPciFunction function, FunctionTestBenchOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(function);
        Function = function;
        _options = options ?? new FunctionTestBenchOptions();
        Host = new VfioHost(new VfioHostOptions { Log = _log.Enqueue, Time = _options.Time });
        IommuGroup group = Host.AddIommuUnit("test bench").CreateGroup();
        _groupNumber = group.Number;
        _device = new Slot(_options.Address, function, group, _log.Enqueue);
        Host.Register(_device, group);
        Open();
    }

    /// <summary>The model.</summary>
    public IPciFunction Function { get; }

    /// <summary>The host of this bench alone.</summary>
    public VfioHost Host { get; }

    /// <summary>The user's I/O address space.</summary>
    /// <exception cref="TestBenchException">The device is closed.</exception>
    public VfioContainer Container => _container ?? throw Closed();

    /// <summary>The user's device file.</summary>
    /// <exception cref="TestBenchException">The device is closed.</exception>
    public VfioDeviceFile File => _file ?? throw Closed();

    /// <summary>Whether the user has the device open.</summary>
    public bool IsOpen => _file is not null;

    /// <summary>How long waits of this bench last.</summary>
    public TimeSpan Patience => _options.Patience;

    /// <summary>Configuration space, as a user sees it.</summary>
    public TestRegion Config => Region(VfioRegions.Config);

    /// <summary>What the core logged so far: exceptions that left the model, above all.</summary>
    public IReadOnlyCollection<string> Log => _log;

    /// <summary>A base address register.</summary>
    /// <param name="index">0 to 5.</param>
    /// <returns>The region behind it.</returns>
    public TestRegion Bar(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)index, (uint)VfioRegions.Bar5, nameof(index));
        return Region(index);
    }

    /// <summary>Sets the command register.</summary>
    /// <param name="command">Its new value.</param>
    public void SetCommand(PciCommand command) => Config.Write16(PciConfigOffsets.Command, (ushort)command);

    /// <summary>Finds a capability of the function in configuration space.</summary>
    /// <param name="id">Its id.</param>
    /// <returns>Its offset, 0 when the function has none.</returns>
    /// <exception cref="TestBenchException">The list does not end.</exception>
    public ulong FindCapability(PciCapabilityId id)
    {
        const ulong Mask = PciConfigOffsets.CapabilityPointerMask;
        const int Most = (PciConfigOffsets.ConventionalSize - PciConfigOffsets.HeaderEnd) / sizeof(uint);
        ulong offset = Config.Read8(PciConfigOffsets.CapabilityPointer) & Mask;
        for (int i = 0; i < Most && offset != 0; i++)
        {
            int header = Config.Read16(offset);
            if ((header & byte.MaxValue) == (byte)id)
            {
                return offset;
            }

            offset = (ulong)(uint)(header >> 8) & Mask;
        }

        return offset == 0 ? 0UL : throw new TestBenchException($"the capability list of {_options.Address} does not end");
    }

    /// <summary>DEVICE_RESET, as a VMM does it. The command register is written again, interrupts stay bound.</summary>
    /// <exception cref="VfioException">The device refuses.</exception>
    public void Reset()
    {
        File.Reset();
        SetInitialCommand();
    }

    /// <summary>A function level reset, as a guest does it through the Express capability.</summary>
    /// <exception cref="TestBenchException">The function has no such capability.</exception>
    public void FunctionLevelReset()
    {
        ulong express = FindCapability(PciCapabilityId.Express);
        if (express == 0)
        {
            throw new TestBenchException($"{_options.Address} has no Express capability, so there is no function level reset");
        }

        ulong control = express + PciExpress.DeviceControl;
        Config.Write16(control, (ushort)(Config.Read16(control) | PciExpress.InitiateFunctionLevelReset));
        SetInitialCommand();
    }

    /// <summary>Closes the device as its user does: file, group, container, and with them all maps and interrupts. Memory stays.</summary>
    public void Close()
    {
        DropCaptures();
        _file?.Dispose();
        _group?.Dispose();
        _container?.Dispose();
        _file = null;
        _group = null;
        _container = null;
        lock (_maps)
        {
            _maps.ForEach(static m => m.Memory.Channel?.Remove(m.Iova));
            _maps.Clear();
        }
    }

    /// <summary>Opens the device again after <see cref="Close"/>.</summary>
    /// <exception cref="VfioException">It cannot be opened.</exception>
    public void Open()
    {
        if (IsOpen)
        {
            throw new TestBenchException($"{_options.Address} is open already; close it first");
        }

        var user = new Caller(CurrentProcess.UserId, RawIo: false, LockMemory: true, ulong.MaxValue);
        _container = Host.OpenContainer(user);
        _group = Host.OpenGroup(_groupNumber, user);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice(_options.Address);
        SetInitialCommand();
    }

    /// <summary>Waits for something; polls.</summary>
    /// <param name="condition">What is waited for.</param>
    /// <param name="what">Says it for people.</param>
    /// <exception cref="TestBenchException">It did not happen in the bench's patience.</exception>
    public void WaitUntil(Func<bool> condition, string what)
    {
        if (!SpinWait.SpinUntil(condition, Patience))
        {
            throw new TestBenchException($"waited {Patience.TotalSeconds} s: {what}");
        }
    }

    /// <summary>Fails when the model threw, or when memory beside a buffer was touched. <see cref="Dispose"/> asks this too.</summary>
    /// <exception cref="TestBenchException">What was found.</exception>
    public void Verify()
    {
        string[] found = [.. Problems()];
        if (found.Length != 0)
        {
            throw new TestBenchException(string.Join(Environment.NewLine, found));
        }
    }

    /// <summary>Waits for posted work, closes everything, then fails as <see cref="Verify"/> does, and when the host still owns something.</summary>
    /// <exception cref="TestBenchException">What was found.</exception>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        List<string> found = [];
        TrySettle(found);
        Close();

        // What was kept back until the user had gone.
        TrySettle(found);
        Host.Unregister(_device);
        _device.Dispose();
        Host.Dispose();
        found.AddRange(Problems());

        // Threads that were told to end take a moment.
        if (!SpinWait.SpinUntil(() => Host.Ledger.Total == 0 && !Memories.Any(static m => m.IsInUse), Patience))
        {
            found.AddRange(Memories.Where(static m => m.IsInUse).Select(static m => $"after everything was closed memory of 0x{m.Size:x} bytes is still held; release what DmaScope.TryHold gave"));
            if (Host.Ledger.Total != 0)
            {
                found.Add($"after everything was closed the host still owns: {Host.Ledger}");
            }
        }

        DisposeMemories();

        if (found.Count != 0)
        {
            throw new TestBenchException(string.Join(Environment.NewLine, found));
        }
    }

    internal TestRegion Region(int index) => _regions[index] ??= new TestRegion(this, (uint)index);

    /// <summary>Only what the core logged; cheap enough to be asked after each access.</summary>
    internal string? FindFault()
    {
        foreach (string line in _log)
        {
            if (_options.Tolerates?.Invoke(line) != true)
            {
                return line;
            }
        }

        return null;
    }

    private IEnumerable<string> Problems() =>
        _log.Where(line => _options.Tolerates?.Invoke(line) != true).Concat(Memories.Select(static m => m.FindDamage()).OfType<string>());

    private void SetInitialCommand()
    {
        if (_options.Command is { } command)
        {
            SetCommand(command);
        }
    }

    private TestBenchException Closed() => new($"{_options.Address} is closed; open it first");
}
