using Penstock.Devices;
using Penstock.Hypervisor;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>One device for one run of a QEMU with an s390x guest, whose RPCIT is tapped.</summary>
internal sealed class TappedServing(ServedDevice device, string socket, RpcitPath path, string plugin) : IServing
{
    private TappedServer? _served;

    public IDeviceConsole? Console => device.Console;

    public IReadOnlyList<ServedSocket> Sockets { get; } = [new ServedSocket(socket)];

    public IReadOnlyList<QemuMachine> MachinesFor(ServedSocket socket) =>
        [QemuArguments.Tapped(socket.Path, _served!.Vm.RamSize, _served.QemuArguments(plugin))];

    public void Start(Func<int, VfioUserServerOptions> options) => _served = TappedServer.Serve(device.Function, socket, new TappedServerOptions
    {
        FunctionId = QemuArguments.FunctionId,
        RamSize = QemuArguments.TappedMemory,
        Path = path,
        Server = options(0),
    });

    public void Wait() => _served!.Server.Wait(Timeout.InfiniteTimeSpan);

    public void Dispose()
    {
        _served?.Dispose();
        device.Dispose();
    }
}
