using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>A device that is driven message by message, with nothing in between.</summary>
internal abstract class MessageDemo(DemoReport report) : WireDemo(report)
{
    /// <summary>Goes through the device's own steps, a reset last.</summary>
    protected abstract void Drive(VfioUserClient user, CancellationToken cancellation);

    protected sealed override void Use(string path, CancellationToken cancellation)
    {
        using var user = VfioUserClient.Connect(path, OwnPeers.Client);
        Report.Done("connect", $"protocol {user.Version}, up to {user.ServerLimits.MaximumTransfer >> 10} KiB and {user.ServerLimits.MaximumDescriptors} descriptors a message");
        Drive(user, cancellation);
    }
}
