using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>What a driver may replace, one operation at a time.</summary>
public sealed class ReplacedOperationTests
{
    private const string Name = "0000:01:00.0";
    private const ulong Page = 4096;

    public static TheoryData<string> Operations => [.. Run(string.Empty).Keys];

    [Theory]
    [Trait("Row", "S0-19")]
    [MemberData(nameof(Operations))]
    public void Operation_ReplacedAlone_IsTheOnlyOneThatDiffersFromTheCore(string operation)
    {
        Dictionary<string, string> core = Run(string.Empty);
        Dictionary<string, string> driver = Run(operation);
        Assert.NotEqual(core[operation], driver[operation]);
        Assert.All(core.Where(o => o.Key != operation), o => Assert.Equal(o.Value, driver[o.Key]));
    }

    [Fact]
    [Trait("Row", "S0-19")]
    public void Operation_EachOfTheCore_CanBeReplaced()
    {
        const BindingFlags All = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
        MethodInfo[] operations = [.. typeof(VfioDevice).GetMethods(All).Where(static m => m.IsVirtual && m.DeclaringType == typeof(VfioDevice) && m.IsFamilyOrAssembly)];
        Assert.True(operations.Length >= 15);
        Assert.All(operations, static o => Assert.False(o.IsFinal));
        Assert.All(typeof(VfioPciCoreDevice).GetMethods(All).Where(m => operations.Contains(m.GetBaseDefinition())), static o => Assert.False(o.IsFinal));
    }

    [Fact]
    [Trait("Row", "S1-14")]
    public void Call_FromFileToDriver_IsOneVirtualDispatch()
    {
        using var slot = new Slot(string.Empty);
        slot.Device.WatchesCallers = true;
        VfioDeviceFile file = slot.Open();
        Exercise(file);
        file.Map(0, 0, Page).Dispose();
        Assert.Throws<VfioException>(() => file.Ioctl(0x1234, []));
        file.Dispose();

        // Whoever calls a driver's method is the file itself, and not through another virtual method; Ioctl is what all kinds of files have.
        Assert.All(slot.Device.Callers, static c => Assert.True(c.DeclaringType == typeof(VfioDeviceFile), $"{c.DeclaringType}.{c.Name} is between"));
        Assert.Subset(slot.Device.Callers.Select(static c => c.Name).ToHashSet(), new HashSet<string> { "GetInfo", "GetRegionInfo", "GetIrqInfo", "Read", "Write", "Map", "SetIrqs", "Reset" });
        Assert.All(slot.Device.Callers.Where(static c => c.Name != "Ioctl"), static c => Assert.False(c.IsVirtual));
        Assert.True(slot.Device.Callers.Count >= 9);
    }

    [Fact]
    [Trait("Row", "S1-14")]
    public void Ioctl_WithTheKernelsStructures_ReachesTheDriverByOneVirtualDispatch()
    {
        using var slot = new Slot(string.Empty);
        VfioDeviceFile file = slot.Open();
        slot.Device.WatchesCallers = true;
        ByStructure(file, VfioDeviceRequest.GetInfo, new VfioDeviceGetInfo { ArgumentSize = VfioDeviceGetInfo.Length });
        ByStructure(file, VfioDeviceRequest.GetRegionInfo, new VfioDeviceGetRegionInfo { ArgumentSize = VfioDeviceGetRegionInfo.Length });
        ByStructure(file, VfioDeviceRequest.SetIrqs, new EventSet
        {
            Call = new VfioDeviceSetIrqs
            {
                ArgumentSize = VfioDeviceSetIrqs.Length + sizeof(int),
                Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
                Index = VfioIrqs.Req,
                Count = 1,
            },
            Descriptor = slot.Event.Descriptor.Value,
        });
        slot.Device.WatchesCallers = false;
        file.Dispose();

        // Between the call and the driver there is nothing but the file's own code, without another dispatch in it.
        Assert.Superset(new HashSet<string> { "GetInfo", "GetRegionInfo", "SetIrqs" }, slot.Device.Paths.Select(static p => p.Operation).ToHashSet());
        Assert.All(slot.Device.Paths, static p =>
        {
            Assert.Equal("Ioctl", p.Way[^1].Name);
            Assert.All(p.Way, static m => Assert.Equal(typeof(VfioDeviceFile), m.DeclaringType));
            Assert.All(p.Way[..^1], static m => Assert.False(m.IsVirtual, m.Name));
        });
    }

    // Without optimisation, so that the file's methods are not made part of it.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.NoOptimization)]
    private static void ByStructure<T>(VfioDeviceFile file, VfioDeviceRequest request, T argument)
        where T : unmanaged => Assert.Equal(0, file.Ioctl((uint)request, MemoryMarshal.AsBytes(new Span<T>(ref argument))));

    private static Dictionary<string, string> Run(string replaced)
    {
        using var slot = new Slot(replaced);
        var seen = new Dictionary<string, string> { ["Match"] = Outcome(() => slot.Group.OpenDevice("alias").Dispose()) };
        VfioDeviceFile file = slot.Open();
        seen["GetInfo"] = $"{file.GetInfo()}";
        seen["GetRegionInfo"] = $"{file.GetRegionInfo(0)}";
        seen["GetIrqInfo"] = $"{file.GetIrqInfo(VfioIrqs.Err).Flags}";
        seen["Read"] = $"{file.Read(VfioRegions.Config, 0, new byte[4], out int read)} {read}";
        seen["Write"] = $"{file.Write(VfioRegions.Config, 0, new byte[4], out int written)} {written}";
        seen["Ioctl"] = Outcome(() => file.Ioctl(0x1234, []));
        seen["Map"] = Outcome(() => file.Map(0, 0, Page).Dispose());
        int resets = slot.Function.Resets.Count;
        seen["Reset"] = Outcome(file.Reset) + (slot.Function.Resets.Count - resets);

        Bind(file, slot.Event);
        var unregister = Task.Run(() => slot.Host.Unregister(slot.Device));
        SpinWait.SpinUntil(() => slot.Device.Requests > 0);
        file.Dispose();
        unregister.GetAwaiter().GetResult();
        seen["Request"] = $"{slot.Event.Count() > 0}";
        foreach (string operation in (string[])["Open", "Close", "SetIrqs", "Resume", "Suspend"])
        {
            seen[operation] = $"{slot.Device.Marks.Contains(operation)}";
        }

        return seen;
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.NoOptimization)]
    private static void Exercise(VfioDeviceFile file)
    {
        file.GetInfo();
        file.GetRegionInfo(0);
        file.GetIrqInfo(0);
        file.Read(VfioRegions.Config, 0, new byte[4], out _);
        file.Write(VfioRegions.Config, 0, new byte[4], out _);
        file.Reset();
        using EventDescriptor requested = EventDescriptor.Create();
        Bind(file, requested);
    }

    private static void Bind(VfioDeviceFile file, EventDescriptor requested) => file.SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Index = VfioIrqs.Req,
        Count = 1,
        Events = new EventDescriptor?[] { requested },
    });

    private static string Outcome(Action call)
    {
        try
        {
            call();
            return "done";
        }
        catch (VfioException e)
        {
            return $"{e.Errno}";
        }
    }

    /// <summary>The structure with one descriptor behind it.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 1)]
    private struct EventSet
    {
        public VfioDeviceSetIrqs Call;
        public int Descriptor;
    }

    private sealed class Slot : IDisposable
    {
        private readonly ProcessMemory _memory;
        private readonly VfioContainer _container;

        public Slot(string replaced)
        {
            _memory = ProcessMemory.Allocate(Page, Host.Ledger);
            Function = new FakeFunction
            {
                Description = new PciFunctionDescription
                {
                    VendorId = 1,
                    DeviceId = 2,
                    ClassCode = 0xff0000,
                    InterruptPin = 1,
                    Bars = [new PciBar(0, PciBarKind.Memory32, Page) { Memory = _memory }],
                },
            };
            IommuGroup group = Host.AddIommuUnit("unit").CreateGroup();
            Device = new OneReplaced(Function, group, replaced);
            Host.Register(Device, group);
            Group = Host.OpenGroup(group.Number, Caller.Current);
            _container = Host.OpenContainer(Caller.Current);
            Group.SetContainer(_container);
            _container.SetIommu(VfioIommuType.Type1V2);
        }

        public VfioHost Host { get; } = new(new VfioHostOptions { RequestInterval = TimeSpan.FromMilliseconds(1) });

        public FakeFunction Function { get; }

        public OneReplaced Device { get; }

        public VfioGroup Group { get; }

        public EventDescriptor Event { get; } = EventDescriptor.Create();

        public VfioDeviceFile Open() => Group.OpenDevice(Name);

        public void Dispose()
        {
            Group.Dispose();
            _container.Dispose();
            Device.Dispose();
            Event.Dispose();
            _memory.Release();
            Host.Dispose();
            Assert.Equal("nothing", Host.Ledger.ToString());
        }
    }

    /// <summary>A driver that handles one operation itself and leaves the others to the core.</summary>
    private sealed class OneReplaced(FakeFunction function, IommuGroup group, string replaced) : VfioPciCoreDevice(ReplacedOperationTests.Name, function, group)
    {
        public HashSet<string> Marks { get; } = [];

        public HashSet<MethodBase> Callers { get; } = [];

        /// <summary>Each call's way from a test to here, the nearest method first.</summary>
        public List<(string Operation, MethodBase[] Way)> Paths { get; } = [];

        public bool WatchesCallers { get; set; }

        public int Requests { get; private set; }

        protected override bool Match(string name) => base.Match(name) || (Is(nameof(Match)) && name == "alias");

        protected override void Open()
        {
            Is(nameof(Open));
            base.Open();
        }

        protected override void Close()
        {
            Is(nameof(Close));
            base.Close();
        }

        protected override VfioDeviceInfo GetInfo() => Is(nameof(GetInfo)) ? base.GetInfo() with { Flags = VfioDeviceFlags.None } : base.GetInfo();

        protected override VfioRegionInfo GetRegionInfo(uint index) => Is(nameof(GetRegionInfo)) ? base.GetRegionInfo(index) with { Offset = 7 } : base.GetRegionInfo(index);

        protected override VfioIrqInfo GetIrqInfo(uint index) => Is(nameof(GetIrqInfo)) ? base.GetIrqInfo(index) with { Flags = VfioIrqFlags.None } : base.GetIrqInfo(index);

        protected override void SetIrqs(in VfioIrqRequest request)
        {
            Is(nameof(SetIrqs));
            base.SetIrqs(request);
        }

        protected override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
        {
            transferred = 1;
            return Is(nameof(Read)) ? Errno.ENXIO : base.Read(region, offset, data, out transferred);
        }

        protected override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
        {
            transferred = 1;
            return Is(nameof(Write)) ? Errno.ENXIO : base.Write(region, offset, data, out transferred);
        }

        protected override int Ioctl(uint request, Span<byte> argument) => Is(nameof(Ioctl)) ? 0 : base.Ioctl(request, argument);

        protected override UserMemory Map(uint region, ulong offset, ulong length, out ulong start)
        {
            start = 0;
            return Is(nameof(Map)) ? throw new VfioException(Errno.EBUSY, "map", "the driver wants it") : base.Map(region, offset, length, out start);
        }

        protected override void Reset()
        {
            if (!Is(nameof(Reset)))
            {
                base.Reset();
            }
        }

        protected override void Request(uint round)
        {
            if (!Is(nameof(Request)))
            {
                base.Request(round);
            }

            Requests++;
        }

        protected override void Resume() => Is(nameof(Resume));

        protected override void Suspend() => Is(nameof(Suspend));

        [MethodImpl(MethodImplOptions.NoInlining)]
        private bool Is(string operation)
        {
            if (WatchesCallers && operation is not (nameof(Match) or nameof(Open) or nameof(Close) or nameof(Resume) or nameof(Suspend)))
            {
                MethodBase[] stack = [.. new StackTrace().GetFrames().Select(static f => f.GetMethod()!)];
                Callers.Add(stack[2]);
                Paths.Add((operation, [.. stack.Skip(2).TakeWhile(static m => m.DeclaringType != typeof(ReplacedOperationTests))]));
            }

            if (operation == replaced)
            {
                Marks.Add(operation);
            }

            return operation == replaced;
        }
    }
}
