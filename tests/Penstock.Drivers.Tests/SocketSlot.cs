using System.Collections.Concurrent;
using Penstock.Pci;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Drivers.Tests;

/// <summary>A model behind a vfio-user socket; only that is between it and the driver.</summary>
internal sealed class SocketSlot : DriverSlot
{
    private readonly TemporaryFolder _folder = new();
    private readonly PciFunctionServer _server;
    private readonly RemoteVfioDevice _device;
    private readonly ConcurrentQueue<string> _log = new();

    internal SocketSlot(IPciFunction function)
    {
        Host = new VfioHost(new VfioHostOptions { Log = _log.Enqueue });

        // Times that a busy machine does not use up.
        TimeSpan time = TimeSpan.FromMinutes(1);
        _server = PciFunctionServer.Serve(function, _folder.File("device.sock"), new VfioUserServerOptions { PeerTimeout = time });
        _device = RemoteVfioDevice.Register(
            Host, SlotName, _server.Path, new VfioUserClientOptions { ReplyTime = time, ConnectTime = time, OpenTimeout = time });
        OpenDevice(SlotName);
    }

    public override VfioHost Host { get; }

    protected override void Close()
    {
        _device.Dispose();
        Host.Dispose();
        _server.Dispose();
        _folder.Dispose();
        Assert.Empty(_log);
        Assert.True(SpinWait.SpinUntil(() => _server.Host.Ledger.Total == 0, TimeSpan.FromMinutes(1)), $"the server still owns: {_server.Host.Ledger}");
    }
}
