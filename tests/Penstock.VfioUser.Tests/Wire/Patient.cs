namespace Penstock.VfioUser.Tests;

/// <summary>
/// Times for what a test does not want to run out. The usual ones are so short that a busy machine may use them up. A time that a test has chosen
/// itself stays.
/// </summary>
internal static class Patient
{
    public static readonly TimeSpan Time = TimeSpan.FromMinutes(1);

    public static VfioUserClientOptions Client { get; } = Make(new VfioUserClientOptions());

    public static VfioUserClientOptions NoTwin { get; } = Client with { TwinSocket = false };

    public static VfioUserServerOptions Server { get; } = Make(new VfioUserServerOptions());

    public static VfioUserClientOptions Make(VfioUserClientOptions? options)
    {
        var usual = new VfioUserClientOptions();
        options ??= usual;
        return options with
        {
            ReplyTime = options.ReplyTime == usual.ReplyTime ? Time : options.ReplyTime,
            ConnectTime = options.ConnectTime == usual.ConnectTime ? Time : options.ConnectTime,
            OpenTimeout = options.OpenTimeout == usual.OpenTimeout ? 2 * Time : options.OpenTimeout,
        };
    }

    public static VfioUserServerOptions Make(VfioUserServerOptions? options)
    {
        var usual = new VfioUserServerOptions();
        options ??= usual;
        return options.PeerTimeout == usual.PeerTimeout ? options with { PeerTimeout = Time } : options;
    }
}
