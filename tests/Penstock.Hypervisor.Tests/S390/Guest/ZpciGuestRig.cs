using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>A guest with a zPCI bus: memory, a clock, and as many functions as a test plugs.</summary>
internal sealed class ZpciGuestRig : IDisposable
{
    public const ulong MemorySize = 0x100_0000;
    public const ulong FibAddress = 0x3000;
    public const ulong ClpAddress = 0x4000;
    public const ulong Vector = 0x8000;
    public const ulong Summary = 0x9000;
    public const int Subclass = 3;

    private readonly List<IDisposable> _owned = [];
    private readonly List<VfioDevice> _devices = [];
    private readonly HookRegistration<IZpciVmHook> _hook;
    private readonly List<int> _injected = [];
    private int _count;

    public ZpciGuestRig(uint designation = 0, byte designationTypes = ZpciDtsm.RegionThirdOnly, bool suppression = true, int maximumEvents = 1024)
    {
        Machine = new HypervisorRig(s390: designation != 0);
        _hook = Machine.Host.Slot<IZpciVmHook>().Install(new ZpciAssociation());
        Memory = ProcessMemory.Allocate(MemorySize, Machine.Host.Ledger);
        Machine.Vm.Memory.Add(new GuestMemorySlot(0, 0, MemorySize, Memory));
        Bus = new ZpciBus(Machine.Vm, new ZpciBusOptions
        {
            Time = Clock,
            DesignationTypes = designationTypes,
            InterruptionSuppression = suppression,
            MaximumEvents = maximumEvents,
            Inject = isc =>
            {
                lock (_injected)
                {
                    _injected.Add(isc);
                }
            },
        });
    }

    public HypervisorRig Machine { get; }

    public ProcessMemory Memory { get; }

    public GuestClock Clock { get; } = new();

    public ZpciBus Bus { get; }

    public IReadOnlyList<int> Injected
    {
        get
        {
            lock (_injected)
            {
                return [.. _injected];
            }
        }
    }

    public VfioContainer? LastContainer { get; private set; }

    public ZpciVfioPciDevice? LastDevice { get; private set; }

    /// <summary>A register that names a function.</summary>
    public static ulong Request(uint handle, byte space = 0, int length = 0) =>
        ((ulong)handle << 32) | ((ulong)space << 16) | (uint)length;

    public static ulong Request(ZpciGuestFunction function, byte space = 0, int length = 0) => Request(function.Handle, space, length);

    /// <summary>A function of the machine's host.</summary>
    public ZpciFunction HostFunction(uint id, ushort index) => ZpciFunctions.Create(id, index, firmware: Machine.Firmware);

    /// <summary>A device in a group and a container of its own, opened for the guest's VMM.</summary>
    public VfioDeviceFile Open(IPciFunction? hardware = null, ZpciFunction? zpci = null, bool isZpci = true, VfioIommuType type = VfioIommuType.Type1V2)
    {
        int number = ++_count;
        VfioHost host = Machine.Host;
        IommuGroup group = host.AddIommuUnit($"unit {number}").CreateGroup();
        string name = $"{number:x4}:00:00.0";
        hardware ??= new FakeFunction();
        zpci ??= ZpciFunctions.Create((uint)number, (ushort)number, "TEST", Machine.Firmware);
        VfioPciCoreDevice device = isZpci
            ? new ZpciVfioPciDevice(name, hardware, group, zpci)
            : new VfioPciCoreDevice(name, hardware, group);
        host.Register(device, group);
        _devices.Add(device);
        VfioGroup users = host.OpenGroup(group.Number, Caller.Current);
        VfioContainer container = host.OpenContainer(Caller.Current);
        users.SetContainer(container);
        container.SetIommu(type);
        users.SetHypervisor(Machine.Vm);
        _owned.Add(users);
        _owned.Add(container);
        LastContainer = container;
        LastDevice = device as ZpciVfioPciDevice;
        VfioDeviceFile file = users.OpenDevice(name);
        file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.BusMaster | PciCommand.Memory), 0], out _);
        return file;
    }

    /// <summary>Plugs a device in.</summary>
    public ZpciGuestFunction Plug(
        IPciFunction? hardware = null, ZpciFunction? zpci = null, bool configured = true, bool hot = false, bool interpret = true, bool relaxed = false, uint? id = null) =>
        Bus.Plug(Open(hardware, zpci), new ZpciFunctionOptions
        {
            FunctionId = id,
            Container = LastContainer,
            IsConfigured = configured,
            IsHotplugged = hot,
            Interpret = interpret,
            RelaxedTranslation = relaxed,
        });

    public ZpciGuestFunction PlugEnabled(IPciFunction? hardware = null, ZpciFunction? zpci = null, bool relaxed = false, bool interpret = true)
    {
        ZpciGuestFunction function = Plug(hardware, zpci, relaxed: relaxed, interpret: interpret);
        Assert.Equal(ZpciClpResponse.Ok, Set(function, ZpciSetOperation.Enable));
        Assert.Equal(ZpciFunctionState.Enabled, function.State);
        return function;
    }

    public ZpciGuestFunction PlugIn(ZpciFunctionState state)
    {
        if (state is ZpciFunctionState.Standby or ZpciFunctionState.Disabled or ZpciFunctionState.Reserved)
        {
            ZpciGuestFunction off = Plug(configured: state == ZpciFunctionState.Disabled);
            if (state == ZpciFunctionState.Reserved)
            {
                Bus.Remove(off);
            }

            return off;
        }

        ZpciGuestFunction function = PlugEnabled();
        if (state is ZpciFunctionState.Error or ZpciFunctionState.Blocked)
        {
            Assert.True(function.Fail(ZpciErrorEvent.TranslationProtection, 0x1234));
        }

        if (state == ZpciFunctionState.Blocked)
        {
            Assert.Equal(ZpciConditionCode.Done, Modify(function, ZpciModifyOperation.ResetBlock).ConditionCode);
        }

        if (state == ZpciFunctionState.PermanentError)
        {
            function.FailPermanently();
        }

        Assert.Equal(state, function.State);
        return function;
    }

    public ZpciResult Modify(ZpciGuestFunction function, ZpciModifyOperation operation, ZpciFib fib = default, byte space = 0)
    {
        Span<byte> block = stackalloc byte[ZpciFib.Length];
        fib.Write(block);
        Assert.Equal(Errno.None, Machine.Vm.Memory.Write(FibAddress, block));
        return Bus.ModifyControls(Request(function, space, (int)operation), FibAddress);
    }

    public ZpciResult StoreControls(uint handle, out ZpciFib fib)
    {
        Memory.Span(FibAddress, ZpciFib.Length).Fill(0xee);
        ZpciResult result = Bus.StoreControls(Request(handle), FibAddress);
        fib = ZpciFib.Read(Memory.Span(FibAddress, ZpciFib.Length));
        return result;
    }

    /// <summary>CLP with a request of 32 bytes; gives back what stands behind it.</summary>
    public byte[] Clp(ReadOnlySpan<byte> request, int room, out ZpciResult result)
    {
        Memory.Span(ClpAddress, ZpciLimits.MaximumClpBlock).Fill(0xee);
        request.CopyTo(Memory.Span(ClpAddress, request.Length));
        BinaryPrimitives.WriteUInt16BigEndian(Memory.Span(ClpAddress + (ulong)request.Length, 2), (ushort)room);
        result = Bus.CallLogicalProcessor(ClpAddress);
        return Memory.Span(ClpAddress + (ulong)request.Length, room).ToArray();
    }

    public ZpciClpResponse Set(ZpciGuestFunction function, ZpciSetOperation operation, byte spaces = 1) => Set(function.Handle, operation, spaces, out _);

    public ZpciClpResponse Set(uint handle, ZpciSetOperation operation, byte spaces, out uint answered)
    {
        Span<byte> request = stackalloc byte[ZpciClpSetRequest.Length];
        new ZpciClpSetRequest
        {
            Header = new ZpciClpHeader { BlockLength = ZpciClpSetRequest.Length, Code = (ushort)ZpciClpCommand.SetFunction },
            Handle = handle,
            Operation = operation,
            DmaSpaces = spaces,
        }.Write(request);
        byte[] answer = Clp(request, ZpciClpSetResponse.Length, out ZpciResult result);
        Assert.Equal(ZpciProgramException.None, result.Exception);
        Assert.Equal(ZpciConditionCode.Done, result.ConditionCode);
        ZpciClpSetResponse response = ZpciClpSetResponse.Read(answer);
        answered = response.Handle;
        return (ZpciClpResponse)response.Header.Code;
    }

    /// <summary>The events that wait, taken.</summary>
    public List<ZpciGuestEvent> TakeEvents()
    {
        var all = new List<ZpciGuestEvent>();
        while (Bus.TryTakeEvent(out ZpciGuestEvent oldest))
        {
            all.Add(oldest);
        }

        return all;
    }

    public ZpciAvailabilityEvent[] TakeAvailability() => [.. TakeEvents()
        .Where(static e => e.Content == ZpciEventContent.Availability)
        .Select(static e => ZpciAvailabilityEventBlock.Read(e.Block.Span).Code)];

    public ZpciErrorEvent[] TakeErrors() => [.. TakeEvents()
        .Where(static e => e.Content == ZpciEventContent.Error)
        .Select(static e => ZpciErrorEventBlock.Read(e.Block.Span).Code)];

    public void Dispose()
    {
        Bus.Dispose();
        Assert.Empty(Bus.Functions);
        foreach (IDisposable owned in _owned)
        {
            owned.Dispose();
        }

        foreach (VfioDevice device in _devices)
        {
            Machine.Host.Unregister(device);
            ((IDisposable)device).Dispose();
        }

        _hook.Dispose();
        Memory.Release();
        Machine.Dispose();
    }
}
