using System.Diagnostics;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A parent of mediated devices whose devices are served, each on a socket of its own: a host with nothing but the parent, and a server for each
/// device. The short way from an <see cref="MdevDriver"/> to VMs.
/// </summary>
public sealed class MdevParentServer : IDisposable
{
    private readonly List<VfioUserServer> _servers = [];
    private int _disposed;

    private MdevParentServer(VfioHost host, MdevParent parent)
    {
        Host = host;
        Parent = parent;
    }

    /// <summary>The host that holds the devices; its ledger counts everything that clients make it own.</summary>
    public VfioHost Host { get; }

    /// <summary>The parent.</summary>
    public MdevParent Parent { get; }

    /// <summary>Registers a parent, makes its devices and serves them.</summary>
    /// <param name="name">Name of the parent.</param>
    /// <param name="driver">What makes its devices.</param>
    /// <param name="type">Their type.</param>
    /// <param name="endpoints">The devices.</param>
    /// <param name="options">How clients are treated, by position of the endpoint; null for the defaults.</param>
    /// <param name="log">Receives the host's lines; called from any thread.</param>
    /// <returns>The running servers.</returns>
    /// <exception cref="SystemCallException">A path cannot be listened on.</exception>
    /// <exception cref="VfioException">A device cannot be made.</exception>
    public static MdevParentServer Serve(
        string name,
        MdevDriver driver,
        MdevType type,
        IReadOnlyList<MdevEndpoint> endpoints,
        Func<int, VfioUserServerOptions>? options = null,
        Action<string>? log = null)
    {
        ArgumentNullException.ThrowIfNull(type);
        ArgumentNullException.ThrowIfNull(endpoints);
        var host = new VfioHost(new VfioHostOptions { Log = log });
        MdevParentServer? made = null;
        try
        {
            made = new MdevParentServer(host, host.RegisterMdevParent(name, driver, type));
            for (int i = 0; i < endpoints.Count; i++)
            {
                VfioDevice device = type.Create(endpoints[i].Uuid).Device!;
                made._servers.Add(new VfioUserServer(new VfioUserEndpoint(host, device.Group!.Number, device.Name), endpoints[i].Path, options?.Invoke(i)));
            }

            made._servers.ForEach(static s => s.Start());
            return made;
        }
        catch
        {
            if (made is not null)
            {
                made.Dispose();
            }
            else
            {
                host.Dispose();
            }

            throw;
        }
    }

    /// <summary>Waits until all of them have ended serving.</summary>
    /// <param name="time">How long, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <returns>Whether they have.</returns>
    public bool Wait(TimeSpan time)
    {
        long begun = Stopwatch.GetTimestamp();
        return _servers.TrueForAll(s => s.Wait(
            time == Timeout.InfiniteTimeSpan ? time : TimeSpan.FromTicks(Math.Max(0, (time - Stopwatch.GetElapsedTime(begun)).Ticks))));
    }

    /// <summary>Ends the sessions, removes the sockets, the devices and the parent. A second time does nothing.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _servers.ForEach(static s => s.Stop());
        _servers.ForEach(static s => s.Dispose());
        Parent.Unregister();
        Host.Dispose();
    }
}
