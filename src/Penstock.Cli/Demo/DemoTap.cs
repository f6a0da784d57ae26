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
    private const int WarmReads = 50;
    private const int TimedReads = 400;

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
    public static async Task<DemoTap> ServeAsync(RpcitPath path, IPciFunction device, string socket, int megabytes, Output output, CancellationToken cancellation)
    {
        string plugin = await QemuPlugin.BuildAsync(TapPlugin.Name, TapPlugin.Source, new LabOptions { Progress = new LabNotes(output) }, cancellation);
        var served = TappedServer.Serve(device, socket, new TappedServerOptions
        {
            FunctionId = FunctionId,
            RamSize = (ulong)megabytes << 20,
            Path = path,
            Server = new VfioUserServerOptions { Log = output.Note },
        });
        return new DemoTap(path, plugin, served);
    }

    /// <summary>The guest with this process's memory and the plugin, and with tables that change at each I/O.</summary>
    public GuestConfiguration Join(GuestConfiguration configuration) => configuration with
    {
        SharedMemory = false,
        ExtraArguments = [.. configuration.ExtraArguments, .. _served.QemuArguments(_plugin)],
        KernelArguments = $"{configuration.KernelArguments} iommu.strict=1".Trim(),

        // The slow path on a busy machine takes its time.
        Timeout = TimeSpan.FromMinutes(8),
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

    /// <summary>
    /// Times small reads on every path in the same running guest, in turns, because two runs of a guest are not alike; ends on the path that it began with.
    /// </summary>
    /// <param name="read">Has the guest read; gives reads a second.</param>
    /// <returns>The medians, for people.</returns>
    public async Task<string> TimeAsync(Func<int, Task<long>> read)
    {
        RpcitPath[] paths = Enum.GetValues<RpcitPath>();
        var rates = paths.ToDictionary(path => path, _ => new List<long>());
        for (int round = 0; round < Rounds; round++)
        {
            foreach (RpcitPath path in paths)
            {
                // The guest's own RPCITs carry the change out.
                _served.Tap.SwitchTo(path);
                await read(WarmReads);
                DemoReport.Verify(_served.Tap.Path == path, $"RPCIT is answered by {_served.Tap.Path}, not by {path}");
                rates[path].Add(await read(TimedReads));
            }
        }

        _served.Tap.SwitchTo(_path);
        await read(WarmReads);
        IEnumerable<string> medians = paths.Select(path => string.Create(CultureInfo.InvariantCulture, $"{path.ToString().ToLowerInvariant()} {rates[path].Order().ElementAt(Rounds / 2)}"));
        return $"{string.Join(", ", medians)} reads of 4 KiB a second, one after the other (medians of {Rounds})";
    }

    public void Dispose() => _served.Dispose();
}
