using System.Collections.Concurrent;
using System.Globalization;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.Pci;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>A device on a socket of its own, with all that a test looks at on this side.</summary>
internal abstract class DeviceBench : IDisposable
{
    private const string PatienceProperty = "x-msg-timeout";

    private readonly TemporaryFolder _folder = new();
    private readonly ConcurrentQueue<(SessionEnd End, string Owned)> _ends = new();

    protected DeviceBench(IPciFunction function)
    {
        Server = PciFunctionServer.Serve(function, _folder.File("device.sock"), new VfioUserServerOptions
        {
            Observer = Traffic,
            PeerTimeout = PeerTime,
            Log = Log.Enqueue,
            ClientEnded = end => _ends.Enqueue((end, Owned())),
        });
        IdleOwned = Owned();
    }

    /// <summary>How long the server and QEMU wait for each other: on a busy machine either may stand still for some seconds.</summary>
    public static TimeSpan PeerTime { get; } = TimeSpan.FromMinutes(2);

    /// <summary>The same for a QEMU that gets its device by arguments as they are printed.</summary>
    public static string[] PatientQemu { get; } = ["-global", string.Create(CultureInfo.InvariantCulture, $"vfio-user-pci.{PatienceProperty}={PeerTime.TotalMilliseconds}")];

    public Traffic Traffic { get; } = new();

    public PciFunctionServer Server { get; }

    /// <summary>What the server told people.</summary>
    public ConcurrentQueue<string> Log { get; } = new();

    /// <summary>What is owned while there is no client, threads not counted.</summary>
    public string IdleOwned { get; }

    /// <summary>How the first client left.</summary>
    public SessionEndKind FirstEnd => _ends.First().End.Kind;

    /// <summary>The guest that the device is plugged into.</summary>
    public GuestConfiguration Configuration => new() { Devices = [VfioUser(Server.Path, "device")] };

    /// <summary>Threads that the device itself may have.</summary>
    protected virtual int DeviceThreads => 0;

    /// <summary>The <c>-device</c> value for a socket.</summary>
    public static string VfioUser(string path, string id) =>
        QemuDevice.VfioUser(path, id, new Dictionary<string, object> { [PatienceProperty] = (long)PeerTime.TotalMilliseconds });

    /// <summary>Waits for something that a posted write or an end of a connection brings about: the guest may be ahead of the server.</summary>
    public static void Settle<T>(T expected, Func<T> actual)
    {
        SpinWait.SpinUntil(() => EqualityComparer<T>.Default.Equals(expected, actual()), TimeSpan.FromMinutes(5));
        Assert.Equal(expected, actual());
    }

    /// <summary>Waits until as many clients have gone, and verifies that each gave everything back.</summary>
    public void VerifyEnds(params SessionEndKind[] kinds)
    {
        Settle(kinds.Length, () => _ends.Count);
        Assert.Equal(kinds, _ends.Select(e => e.End.Kind));
        Assert.All(_ends, e => Assert.Equal(IdleOwned, e.Owned));

        // The server's and the one of the card's strand, which starts with the first work for it; none for each client.
        Assert.InRange(Server.Host.Ledger.Outstanding(ResourceKind.Thread), 1, 2 + DeviceThreads);
    }

    /// <summary>Verifies that no command was answered with an error and that the server logged no fault.</summary>
    public void VerifyNoErrors()
    {
        Assert.Empty(Traffic.Errors);
        Assert.DoesNotContain(Log, line => line.Contains("fault", StringComparison.Ordinal));
    }

    private string Owned()
    {
        ResourceKind[] kinds = [ResourceKind.Descriptor, ResourceKind.Mapping, ResourceKind.Pin, ResourceKind.NativeBlock];
        return string.Join(", ", kinds.Select(kind => $"{kind} {Server.Host.Ledger.Outstanding(kind)}"));
    }

    public void Dispose()
    {
        Server.Dispose();
        DisposeDevice();
        _folder.Dispose();
    }

    /// <summary>Gives back what the unplugged device owns.</summary>
    protected virtual void DisposeDevice()
    {
    }
}
