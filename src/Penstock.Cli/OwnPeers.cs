using Penstock.VfioUser;

namespace Penstock.Cli;

/// <summary>
/// How long a demo or a measurement waits for peers that it has started itself. Nobody's VM hangs meanwhile, so on a machine that stands still for
/// some seconds it goes on instead of taking them for dead.
/// </summary>
internal static class OwnPeers
{
    public static readonly TimeSpan Time = TimeSpan.FromMinutes(1);

    public static VfioUserClientOptions Client { get; } = new() { ReplyTime = Time, ConnectTime = Time, OpenTimeout = 2 * Time };

    public static VfioUserServerOptions Server { get; } = new() { PeerTimeout = Time };
}
