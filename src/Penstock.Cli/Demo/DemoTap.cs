using System.Globalization;
using Penstock.Hypervisor;
using Penstock.Lab;
using Penstock.Pci;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>The tap of a demonstration: a plugin in QEMU that hands the guest's RPCIT over, and who answers it.</summary>
internal sealed class DemoTap : IDisposable
{
    /// <summary>The device's function identifier on QEMU's command line.</summary>
    public const uint FunctionId = 1;

    private const int Rounds = 5;

    private readonly RpcitPath _path;
    private readonly string _plugin;
    private readonly TappedServer _served;

    private DemoTap(RpcitPath path, string plugin, TappedServer served)
    {
        _path = path;
        _plugin = plugin;
        _served = served;
    }

    public PciFunctionServer Server => _served.Server;

    /// <summary>Builds the plugin and serves the device.</summary>
    /// <exception cref="LabException">There is no compiler.</exception>
    public static async Task<DemoTap> ServeAsync(RpcitPath path, IPciFunction device, string socket, VfioUserServerOptions options, int megabytes, Output output, CancellationToken cancellation)
    {
        string plugin = await QemuPlugin.BuildAsync(TapPlugin.Name, TapPlugin.Source, new LabOptions { Progress = new LabNotes(output) }, cancellation);
        var served = TappedServer.Serve(device, socket, new TappedServerOptions
        {
            FunctionId = FunctionId,
            RamSize = (ulong)megabytes << 20,
            Path = path,
            Server = options,
        });
        return new DemoTap(path, plugin, served);
    }

    /// <summary>The guest with this process's memory and the plugin, and with tables that change at each I/O.</summary>
    public GuestConfiguration Join(GuestConfiguration configuration) => configuration with
    {
        SharedMemory = false,

        // Room for a second processor, so that QEMU compiles atomic instructions as such: see TapSession.IndicatesInterrupts.
        ExtraArguments = [.. configuration.ExtraArguments, .. _served.QemuArguments(_plugin), "-smp", "1,maxcpus=2"],
        KernelArguments = $"{configuration.KernelArguments} iommu.strict=1".Trim(),
    };

    /// <summary>Shows what the tap has done, which must be what it was made for.</summary>
    public void Verify(DemoReport report)
    {
        TapCounters counters = _served.Tap.Counters;
        TapTraffic traffic = _served.Traffic;
        string done = string.Create(CultureInfo.InvariantCulture, $"{traffic.Maps} DMA_MAP and {traffic.Unmaps} DMA_UNMAP came from QEMU");
        DemoReport.Verify(_served.Tap.Path == _path && !_served.Tap.IsGivenUp, $"RPCIT is answered by {_served.Tap.Path}");
        DemoReport.Verify((traffic.Maps == 0) == (_path != RpcitPath.Fallback), done);
        report.Done("rpcit", _path switch
        {
            RpcitPath.Fallback => $"QEMU answered every RPCIT: {done}",
            RpcitPath.Shadow => $"{counters.Asked} RPCITs were answered here, one round trip each; {done}",
            _ => $"{counters.ByRing} RPCITs were answered by the plugin by itself, {counters.Asked} here; the disk walked the guest's tables {_served.Walks} times; {done}",
        });
    }

    /// <summary>Shows how the interrupts went, on whatever path.</summary>
    public void VerifyInterrupts(DemoReport report)
    {
        TapInterruptCounters counters = _served.Tap.InterruptCounters;
        DemoReport.Verify(_served.Tap.IndicatesInterrupts && counters.Indicated != 0, "the guest's interrupts all go to QEMU");
        report.Done("prods", $"{counters.Indicated} interrupts were indicated in the guest's memory; QEMU was told of {counters.Prods}, {counters.ProdsSaved} the guest found by itself");
    }

    /// <summary>
    /// Times something on every path in the same running guest, in turns, because two runs of a guest are not alike; ends on the path that it began with.
    /// </summary>
    /// <param name="warm">Has the guest do a little of it: its own RPCITs carry a change of path out.</param>
    /// <param name="timed">Has the guest do it; gives its figures.</param>
    /// <returns>The medians, for people.</returns>
    public async Task<string> TimeAsync(Func<Task> warm, Func<Task<IReadOnlyList<double>>> timed)
    {
        RpcitPath[] paths = Enum.GetValues<RpcitPath>();
        var figures = paths.ToDictionary(path => path, _ => new List<IReadOnlyList<double>>());
        for (int round = 0; round < Rounds; round++)
        {
            foreach (RpcitPath path in paths)
            {
                _served.Tap.SwitchTo(path);
                await warm();
                long maps = _served.Traffic.Maps;
                IReadOnlyList<double> found = await timed();
                DemoReport.Verify((_served.Traffic.Maps == maps) == (path != RpcitPath.Fallback), $"{_served.Traffic.Maps - maps} DMA_MAP came while RPCIT was to be answered by {path}");
                figures[path].Add(found);
            }
        }

        _served.Tap.SwitchTo(_path);
        await warm();
        return $"{string.Join(", ", paths.Select(path => $"{path.ToString().ToLowerInvariant()} {Medians(figures[path])}"))} (medians of {Rounds})";
    }

    private static string Medians(List<IReadOnlyList<double>> rounds) => string.Join(
        " and ",
        rounds[0].Select((_, i) => rounds.Select(round => round[i]).Order().ElementAt(Rounds / 2)).Select(median => median.ToString(median < 100 ? "0.0" : "0", CultureInfo.InvariantCulture)));

    public void Dispose() => _served.Dispose();
}
