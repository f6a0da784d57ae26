using System.Globalization;
using Penstock.Devices;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>The mediated devices of a parent, each on a socket of its own.</summary>
internal sealed class ParentServing : IServing
{
    private const string Number = "%n";
    private const string Uuid = "%u";

    private readonly ServedParent _parent;
    private readonly MdevEndpoint[] _endpoints;
    private readonly Action<string> _log;
    private MdevParentServer? _server;

    /// <param name="parent">The parent.</param>
    /// <param name="socket">A folder, or a path with a place for the number or UUID of the device.</param>
    /// <param name="log">Receives what the host has to say.</param>
    /// <exception cref="UsageException">The path does not do for all devices.</exception>
    public ParentServing(ServedParent parent, string socket, Action<string> log)
    {
        _parent = parent;
        _log = log;
        string pattern = Directory.Exists(socket) ? Path.Combine(socket, $"{Number}.sock") : socket;
        if (parent.Instances.Count > 1 && !pattern.Contains(Number, StringComparison.Ordinal) && !pattern.Contains(Uuid, StringComparison.Ordinal))
        {
            throw new UsageException(
                $"--socket '{socket}' is one path for {parent.Instances.Count} devices; give a folder that exists, or put {Number} (number) or {Uuid} (UUID) into the path");
        }

        _endpoints = [.. parent.Instances.Select((uuid, i) => new MdevEndpoint(uuid, pattern
            .Replace(Number, i.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace(Uuid, uuid.ToString("D"), StringComparison.Ordinal)))];
        Sockets = [.. _endpoints.Select(e => new ServedSocket(e.Path, e.Uuid.ToString("D")))];
    }

    public IDeviceConsole? Console => _parent.Console;

    public IReadOnlyList<ServedSocket> Sockets { get; }

    public IReadOnlyList<QemuMachine> MachinesFor(ServedSocket socket) => [QemuArguments.X86(socket.Path)];

    public void Start(Func<int, VfioUserServerOptions> options) =>
        _server = MdevParentServer.Serve(_parent.Name, _parent.Driver, _parent.Type, _endpoints, options, _log);

    public void Wait() => _server!.Wait(Timeout.InfiniteTimeSpan);

    public void Dispose() => _server?.Dispose();
}
