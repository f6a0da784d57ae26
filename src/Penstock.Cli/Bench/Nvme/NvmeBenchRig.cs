using Penstock.Drivers;
using Penstock.Interop;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Bench;

/// <summary>
/// A polling NVMe server in a process of its own, on a processor of its own, and the driver that uses it from here. While another one is measured it stands still.
/// </summary>
internal sealed class NvmeBenchRig : IDisposable
{
    /// <summary>Most commands under way.</summary>
    public const int MostDepth = 32;

    /// <summary>Bytes of a command's data.</summary>
    public const int Length = 4096;

    private const string DeviceName = "bench";

    private readonly TemporaryFolder _folder = new();
    private readonly BenchProcess _server;
    private readonly VfioHost _host = new();
    private readonly RemoteVfioDevice? _remote;
    private readonly AssignedDevice? _device;

    private NvmeBenchRig(int processor, string program, string socketName, Func<string, List<string>> arguments)
    {
        string socket = _folder.File(socketName);
        _server = BenchProcess.StartOn(processor, program, arguments(socket));
        try
        {
            _remote = RemoteVfioDevice.Register(_host, DeviceName, socket, OwnPeers.Client);
            _device = _server.Connect(socket, () => AssignedDevice.Open(_host, DeviceName));
            Driver = new NvmeDriver(_device, new NvmeDriverOptions { Interrupts = false });
            Queue = Driver.CreateQueue(2 * MostDepth);
            Memory = Driver.AllocateMemory(MostDepth * Length);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Whether the controller says where its time goes.</summary>
    public bool HasTimes { get; private init; }

    public NvmeDriver Driver { get; } = null!;

    public NvmeQueue Queue { get; } = null!;

    /// <summary>A page for each command.</summary>
    public DmaMemory Memory { get; } = null!;

    /// <summary>Starts Penstock's server.</summary>
    /// <exception cref="IOException">The server cannot be started or ends by itself.</exception>
    public static NvmeBenchRig Start(NvmeBenchOptions options) => new(options.ServerProcessor, Environment.ProcessPath!, "nvme.sock", socket =>
    {
        List<string> arguments = ["serve", "nvme", "--poll", "--times", "--size", options.Size, "--socket", socket];
        if (options.Image is string image)
        {
            arguments.AddRange(["--image", image]);
        }

        return arguments;
    })
    {
        HasTimes = true,
    };

    /// <summary>Starts another program's server, whose disk must have a block size that divides <see cref="Length"/>.</summary>
    /// <exception cref="IOException">As there.</exception>
    public static NvmeBenchRig StartPeer(NvmeBenchOptions options, string program) => new(options.ServerProcessor, program, "peer.sock", static socket => [socket]);

    public void Pause() => _server.Pause();

    public void Resume() => _server.Resume();

    public void Dispose()
    {
        // It answers the driver's last commands.
        _server.Resume();
        Memory?.Dispose();
        Queue?.Dispose();
        Driver?.Dispose();
        _device?.Dispose();
        _remote?.Dispose();
        _host.Dispose();
        _server.Dispose();
        _folder.Dispose();
    }
}
