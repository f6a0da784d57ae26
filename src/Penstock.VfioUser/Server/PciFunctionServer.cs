using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A function model on a socket: a host with one IOMMU unit, one group and one slot, and a server for it. The short way from an
/// <see cref="IPciFunction"/> to a VM.
/// </summary>
public sealed class PciFunctionServer : IDisposable
{
    /// <summary>Name of the slot; users see it as the device's name.</summary>
    private const string SlotName = "0000:00:01.0";

    private readonly VfioPciCoreDevice _device;
    private readonly VfioUserServer _server;

    private PciFunctionServer(VfioHost host, VfioPciCoreDevice device, VfioUserServer server)
    {
        Host = host;
        _device = device;
        _server = server;
    }

    /// <summary>The host that holds the function; its ledger counts everything that clients make it own.</summary>
    public VfioHost Host { get; }

    /// <summary>The device that clients open.</summary>
    public VfioPciCoreDevice Device => _device;

    /// <summary>Path of the socket.</summary>
    public string Path => _server.Path;

    /// <summary>Sessions that have ended.</summary>
    public int SessionsEnded => _server.SessionsEnded;

    /// <summary>Plugs a function in and serves it.</summary>
    /// <param name="function">The function; it can be plugged in once.</param>
    /// <param name="path">Path of the socket, at most 107 bytes.</param>
    /// <param name="options">How clients are treated.</param>
    /// <param name="prepare">Called with the host before anything is on it: to add kinds of IOMMU backends, say.</param>
    /// <returns>The running server.</returns>
    /// <exception cref="SystemCallException">The path cannot be listened on.</exception>
    public static PciFunctionServer Serve(IPciFunction function, string path, VfioUserServerOptions? options = null, Action<VfioHost>? prepare = null)
    {
        options ??= new VfioUserServerOptions();
        var host = new VfioHost(new VfioHostOptions { Log = options.Log });
        VfioPciCoreDevice? device = null;
        try
        {
            prepare?.Invoke(host);
            IommuGroup group = host.AddIommuUnit("software").CreateGroup();
            device = new VfioPciCoreDevice(SlotName, function, group, options.Log);
            host.Register(device, group);
            var server = new VfioUserServer(new VfioUserEndpoint(host, group.Number, SlotName), path, options);
            server.Start();
            return new PciFunctionServer(host, device, server);
        }
        catch
        {
            device?.Dispose();
            host.Dispose();
            throw;
        }
    }

    /// <summary>Waits until serving has ended.</summary>
    /// <param name="time">How long, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <returns>Whether it has ended.</returns>
    public bool Wait(TimeSpan time) => _server.Wait(time);

    /// <summary>Ends the session and removes the socket. The function and its host stay until <see cref="Dispose"/>.</summary>
    public void Stop() => _server.Dispose();

    /// <summary>Ends the session, removes the socket and unplugs the function.</summary>
    public void Dispose()
    {
        _server.Dispose();
        Host.Unregister(_device);
        _device.Dispose();
        Host.Dispose();
    }
}
