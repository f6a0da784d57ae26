using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Hypervisor;

/// <summary>
/// A function model for one guest of an unmodified QEMU, with a tap: a vfio-user server, the guest's memory, and what follows the guest's I/O tables.
/// One object for one run of QEMU. Members may be called from any thread.
/// </summary>
public sealed class TappedServer : IDisposable
{
    private readonly GroupTables _tables;
    private bool _disposed;

    private TappedServer(PciFunctionServer server, TappedVm vm, TapSession tap, TapTraffic traffic, GroupTables tables)
    {
        Server = server;
        Vm = vm;
        Tap = tap;
        Traffic = traffic;
        _tables = tables;
    }

    /// <summary>The vfio-user server.</summary>
    public PciFunctionServer Server { get; }

    /// <summary>The guest's memory.</summary>
    public TappedVm Vm { get; }

    /// <summary>The tap.</summary>
    public TapSession Tap { get; }

    /// <summary>What QEMU has mapped by messages.</summary>
    public TapTraffic Traffic { get; }

    /// <summary>Accesses of the device that had to walk the guest's tables on the nested path; others found what an earlier one had found.</summary>
    public long Walks => _tables.Walks;

    /// <summary>Pages of the guest that are pinned for the device now.</summary>
    public long PinnedPages => _tables.PinnedPages;

    /// <summary>Serves a function and starts to listen to the tap. Start QEMU afterwards.</summary>
    /// <param name="function">The function; it can be plugged in once.</param>
    /// <param name="path">Path of the vfio-user socket.</param>
    /// <param name="options">What it is served to.</param>
    /// <returns>The running server; dispose of it when QEMU has ended.</returns>
    /// <exception cref="SystemCallException">The socket, the memory or the channel cannot be made.</exception>
    public static TappedServer Serve(IPciFunction function, string path, TappedServerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var tables = new GroupTables();
        TappedVm? vm = null;
        TapSession? tap = null;
        PciFunctionServer? server = null;
        try
        {
            TapTraffic? traffic = null;
            server = PciFunctionServer.Serve(function, path, options.Server with
            {
                Observer = new LateObserver(() => traffic),
                ConnectionMade = connection =>
                {
                    options.Server.ConnectionMade?.Invoke(connection);
                    tap?.Share(connection);
                },
            });
            vm = TappedVm.Create(server.Host, options.RamSize);
            tables.Join(server.Host, server.Host.Groups.First(group => !group.IsEmulated), vm.Memory);
            TapInterrupts? interrupts = server.Device.Msix is { } msix ? new TapInterrupts(vm.Memory, msix, options.Server.Log) : null;
            server.Device.MessageIndicator = interrupts;
            tap = new TapSession(new TapSessionOptions
            {
                Interrupts = interrupts,
                FunctionId = options.FunctionId,
                Path = options.Path,
                Target = tables,
                RamSize = options.RamSize,
                Recorder = options.Recording is null ? null : new TapRecorder(options.Recording, vm.Memory),
                Log = options.Server.Log,
            });
            Volatile.Write(ref traffic, new TapTraffic(tap, options.Server.Observer));
            tap.Start();
            return new TappedServer(server, vm, tap, traffic, tables);
        }
        catch
        {
            server?.Dispose();
            tap?.Dispose();
            vm?.Dispose();
            throw;
        }
    }

    /// <summary>What QEMU is to be told beside its usual arguments and the device: the guest's memory and the plugin.</summary>
    /// <param name="pluginPath">Where the built plugin is.</param>
    /// <returns>The arguments, each its own element.</returns>
    public IReadOnlyList<string> QemuArguments(string pluginPath) => [.. Vm.RamArguments, .. TapPlugin.Arguments(pluginPath, Tap.ChannelPath)];

    /// <summary>Ends the session, and gives everything back.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;

            // The device's user first: without the tap it would follow what QEMU told before.
            Server.Stop();
            Tap.Dispose();
            _tables.Dispose();
            Vm.Dispose();
            Server.Dispose();
        }
    }

    /// <summary>The server is there before what observes it.</summary>
    private sealed class LateObserver(Func<IMessageObserver?> observer) : IMessageObserver
    {
        public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors) => observer()?.OnMessage(fromClient, message, descriptors);
    }
}
