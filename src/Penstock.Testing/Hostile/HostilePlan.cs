using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>Makes up a hostile user's steps. They depend on the seed and on the function's description, on nothing else.</summary>
internal sealed class HostilePlan
{
    private const ulong Page = TestMemory.Page;
    private const int MostMaps = 12;
    private const int MostPages = 16;
    private const int KindsOfMemory = (int)TestMemoryKind.Message + 1;

    private static readonly ulong[] Edges = [0, 1, 2, 3, 4, 7, 8, 0xfff, 0x1000, 0x1001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1UL << 63, ulong.MaxValue, ulong.MaxValue - 7];
    private static readonly ulong[] Places = [0, 0x1_0000, 0x10_0000, 0x1000_0000, 0xffff_0000, 0x1_0000_0000, 0x7fff_ffff_f000, 1UL << 63, ulong.MaxValue & ~(MostPages * Page - 1)];

    private readonly HostileUserOptions _options;
    private readonly Random _random;
    private readonly PciBar[] _bars;
    private readonly bool _migrates;
    private readonly Queue<ulong> _mapped = new();

    internal HostilePlan(IPciFunction function, HostileUserOptions options)
    {
        _options = options;
        _random = new Random(options.Seed);
        _bars = [.. function.Description.Bars];
        _migrates = function is IMigratableFunction;
    }

    internal List<HostileStep> Make()
    {
        var steps = new List<HostileStep>(_options.Steps);
        while (steps.Count < _options.Steps)
        {
            steps.Add(Next());
        }

        return steps;
    }

    private HostileStep Next() => _random.Next(1000) switch
    {
        < 450 => WriteBar(),
        < 650 => new HostileStep(HostileStepKind.ReadBar, Bar(out PciBar bar), Offset(bar), Width: AnyWidth()),
        < 670 => new HostileStep(HostileStepKind.FillBar, Bar(out PciBar bar), Offset(bar), (ulong)_random.Next(), _random.Next(1, 4096)),
        < 700 => new HostileStep(HostileStepKind.ReadConfig, 0, (ulong)_random.Next(PciConfigOffsets.ExtendedSize + 8), Width: 1 << _random.Next(4)),
        < 730 => new HostileStep(HostileStepKind.WriteConfig, 0, (ulong)_random.Next(PciConfigOffsets.ConventionalSize), Value(), 1 << _random.Next(4)),
        < 745 => new HostileStep(HostileStepKind.SetCommand, Value: Command()),
        < 760 => new HostileStep(HostileStepKind.Reset),
        < 763 => new HostileStep(HostileStepKind.Reopen),
        < 800 => Map(),
        < 825 => new HostileStep(HostileStepKind.Unmap, _random.Next(MostMaps)),
        < 860 => new HostileStep(HostileStepKind.Scribble, _random.Next(MostMaps), (ulong)_random.NextInt64(), (ulong)_random.Next(), _random.Next(1, 4096)),
        < 900 => new HostileStep(HostileStepKind.Poke, _random.Next(MostMaps), (ulong)_random.NextInt64(), Value()),
        < 920 => new HostileStep(HostileStepKind.BindInterrupts, _random.Next(VfioIrqs.Count), Width: _random.Next(4)),
        < 930 => new HostileStep(HostileStepKind.DropInterrupts),
        < 970 => ActOnInterrupt(),
        < 980 when _migrates => new HostileStep(HostileStepKind.Migrate, Value: (ulong)_random.Next((int)MigrationState.PreCopyP2P + 2)),
        _ => WriteBar(),
    };

    private HostileStep WriteBar() => new(HostileStepKind.WriteBar, Bar(out PciBar bar), Offset(bar), Value(), 1 << _random.Next(4));

    private HostileStep Map()
    {
        ulong place = Places[_random.Next(Places.Length)] + ((ulong)_random.Next(4) * Page);
        var memory = (TestMemoryKind)(_options.AllKindsOfMemory ? _random.Next(KindsOfMemory) : 0);
        DmaAccess access = _random.Next(5) switch { 0 => DmaAccess.Read, 1 => DmaAccess.Write, _ => DmaAccess.ReadWrite };
        _mapped.Enqueue(place);
        if (_mapped.Count > MostMaps)
        {
            _mapped.Dequeue();
        }

        return HostileStep.Map(place, (ulong)_random.Next(1, MostPages) * Page, access, memory);
    }

    private HostileStep ActOnInterrupt()
    {
        ReadOnlySpan<VfioIrqSetFlags> data = [VfioIrqSetFlags.DataNone, VfioIrqSetFlags.DataBool, VfioIrqSetFlags.DataEventfd, 0];
        ReadOnlySpan<VfioIrqSetFlags> actions = [VfioIrqSetFlags.ActionMask, VfioIrqSetFlags.ActionUnmask, VfioIrqSetFlags.ActionTrigger, 0];
        VfioIrqSetFlags flags = data[_random.Next(4)] | actions[_random.Next(4)];
        return new HostileStep(HostileStepKind.ActOnInterrupt, _random.Next(VfioIrqs.Count + 1), (ulong)_random.Next(4), (ulong)flags, _random.Next(4));
    }

    private int Bar(out PciBar bar)
    {
        bar = _bars.Length == 0 ? new PciBar(0, PciBarKind.Memory32, Page) : _bars[_random.Next(_bars.Length)];
        return bar.Index;
    }

    private ulong Offset(PciBar bar)
    {
        ulong size = bar.Size;
        return _random.Next(8) switch
        {
            0 => (ulong)_random.NextInt64() % (size + 16),
            1 => size - (ulong)_random.Next(1, (int)Math.Min(size, 64) + 1),
            2 => (ulong)_random.NextInt64() % Math.Min(size, Page),
            _ when _options.Registers.Count != 0 => _options.Registers[_random.Next(_options.Registers.Count)],
            _ => (ulong)_random.NextInt64() % Math.Min(size, Page) & ~3UL,
        };
    }

    private ulong Value() => _random.Next(6) switch
    {
        0 => Edges[_random.Next(Edges.Length)],
        1 => (ulong)_random.NextInt64(long.MinValue, long.MaxValue),
        2 => 1UL << _random.Next(64),
        3 when _options.Values.Count != 0 => _options.Values[_random.Next(_options.Values.Count)],
        4 or 5 when _mapped.Count != 0 => _mapped.ElementAt(_random.Next(_mapped.Count)) + (ulong)(_random.Next(3) * _random.Next(1 << 16)),
        _ => (ulong)_random.Next(256),
    };

    private ulong Command() => _random.Next(4) == 0
        ? (ulong)_random.Next(ushort.MaxValue)
        : (ulong)(PciCommand.Io | PciCommand.Memory | (_random.Next(4) == 0 ? PciCommand.None : PciCommand.BusMaster));

    private int AnyWidth() => _random.Next(8) == 0 ? _random.Next(64) : 1 << _random.Next(4);
}
