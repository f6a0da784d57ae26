using Penstock.Drivers;
using Penstock.Interop;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Bench;

/// <summary>A polling NVMe server in a process of its own, on a processor of its own, and the driver that uses it from here.</summary>
internal sealed class NvmeBenchRig : IDisposable
{
    /// <summary>Most commands under way.</summary>
    public const int MostDepth = 32;

    /// <summary>Bytes of a command's data.</summary>
    public const int Length = 4096;

    private const string DeviceName = "bench";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    private readonly TemporaryFolder _folder = new();
    private readonly BenchProcess _server;
    private readonly VfioHost _host = new();
    private readonly RemoteVfioDevice? _remote;
    private readonly AssignedDevice? _device;

    /// <exception cref="IOException">The server cannot be started or ends by itself.</exception>
    public NvmeBenchRig(NvmeBenchOptions options)
    {
        string socket = _folder.File("nvme.sock");
        List<string> arguments = ["serve", "nvme", "--poll", "--times", "--size", options.Size, "--socket", socket];
        if (options.Image is string image)
        {
            arguments.AddRange(["--image", image]);
        }

        _server = StartOn(options.ServerProcessor, arguments);
        try
        {
            WaitFor(socket);
            _remote = RemoteVfioDevice.Register(_host, DeviceName, socket);
            _device = AssignedDevice.Open(_host, DeviceName);
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

    public NvmeDriver Driver { get; } = null!;

    public NvmeQueue Queue { get; } = null!;

    /// <summary>A page for each command.</summary>
    public DmaMemory Memory { get; } = null!;

    public void Dispose()
    {
        Memory?.Dispose();
        Queue?.Dispose();
        Driver?.Dispose();
        _device?.Dispose();
        _remote?.Dispose();
        _host.Dispose();
        _server.Dispose();
        _folder.Dispose();
    }

    /// <summary>A process runs where the thread does that starts it.</summary>
    private static BenchProcess StartOn(int processor, List<string> arguments)
    {
        BenchProcess? started = null;
        Exception? failure = null;
        var starter = new Thread(() =>
        {
            try
            {
                ProcessPlacement.PinCurrentThread(processor);
                started = new BenchProcess(Environment.ProcessPath!, arguments);
            }
            catch (Exception e)
            {
                failure = e;
            }
        });
        starter.Start();
        starter.Join();
        return started ?? throw new IOException($"the server could not be started: {failure?.Message}", failure);
    }

    private void WaitFor(string socket)
    {
        if (!SpinWait.SpinUntil(() => File.Exists(socket) || _server.HasExited, s_patience) || _server.HasExited)
        {
            _server.RequireRunningAsync().GetAwaiter().GetResult();
            throw new IOException($"the server does not listen on {socket}");
        }
    }
}
