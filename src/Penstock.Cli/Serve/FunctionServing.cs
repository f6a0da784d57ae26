using Penstock.Devices;
using Penstock.Pci;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>One device on one socket.</summary>
internal sealed class FunctionServing(ServedDevice device, string socket) : IServing
{
    private PciFunctionServer? _server;

    public IDeviceConsole? Console => device.Console;

    public IReadOnlyList<ServedSocket> Sockets { get; } = [new ServedSocket(socket)];

    public IReadOnlyList<QemuMachine> MachinesFor(ServedSocket socket) => device.Function.Description.Capabilities().OfType<MsixCapability>().Any()
        ? QemuArguments.WithMsix(socket.Path)
        : [QemuArguments.X86(socket.Path)];

    public void Start(Func<int, VfioUserServerOptions> options) => _server = PciFunctionServer.Serve(device.Function, socket, options(0));

    public void Wait() => _server!.Wait(Timeout.InfiniteTimeSpan);

    public void Dispose()
    {
        _server?.Dispose();
        device.Dispose();
    }
}
