using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests;

/// <summary>
/// A function on a socket of its own, with everything that the server said kept. Disposing verifies that every session gave back what it held.
/// </summary>
internal sealed class ServedFunction : IDisposable
{
    public const string SlotName = "0000:00:01.0";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly TemporaryFolder _folder = new();
    private readonly BlockingCollection<SessionEnd> _ends = [];
    private readonly VfioPciCoreDevice _device;
    private readonly Dictionary<ResourceKind, long> _before = [];
    private int _seen;

    public ServedFunction(
        VfioUserServerOptions? options = null, int? mappingLimit = null, IPciFunction? function = null, MappingCacheOptions? mappings = null,
        Func<IPciFunction, IommuGroup, VfioPciCoreDevice>? device = null)
    {
        options = Patient.Make(options);
        Function = function as WireFunction ?? new WireFunction();
        Host = new VfioHost(new VfioHostOptions { Log = Log.Add, MappingLimit = mappingLimit ?? 65535, Mappings = mappings });
        IommuGroup group = Host.AddIommuUnit("software").CreateGroup();
        _device = device?.Invoke(function ?? Function, group) ?? new VfioPciCoreDevice(SlotName, function ?? Function, group, Log.Add);
        Host.Register(_device, group);
        GroupNumber = group.Number;
        Server = new VfioUserServer(
            new VfioUserEndpoint(Host, group.Number, SlotName),
            _folder.File("s"),
            new VfioUserServerOptions
            {
                Once = options.Once,
                Guard = options.Guard,
                Observer = options.Observer,
                PeerTimeout = options.PeerTimeout,
                ClientConnected = options.ClientConnected,
                Log = options.Log ?? Log.Add,
                ClientEnded = end =>
                {
                    _ends.Add(end);
                    options.ClientEnded?.Invoke(end);
                },
            });
        Server.Start();
        foreach (ResourceKind kind in Enum.GetValues<ResourceKind>())
        {
            _before[kind] = Host.Ledger.Outstanding(kind);
        }
    }

    public WireFunction Function { get; }

    public VfioHost Host { get; }

    public VfioUserServer Server { get; }

    public int GroupNumber { get; }

    public ConcurrentBag<string> Log { get; } = [];

    public string Path => Server.Path;

    public WireClient Connect(string json = WireClient.QemuJson) => WireClient.Connect(Path, json);

    /// <summary>Connects, negotiates and switches the device on.</summary>
    public WireClient ConnectEnabled(string json = WireClient.QemuJson)
    {
        WireClient client = Connect(json);
        client.EnableDevice();
        return client;
    }

    public WireClient ConnectRaw() => WireClient.Raw(Path);

    /// <summary>Waits for the end of the next session.</summary>
    public SessionEnd NextEnd()
    {
        Assert.True(_ends.TryTake(out SessionEnd end, Patience), "the session did not end");
        _seen++;
        return end;
    }

    /// <summary>Runs work on the function's strand and waits for it; blocking DMA in it works.</summary>
    public Task<T> OnStrand<T>(Func<T> work) => OnStrandOf(Function.Port.Strand, work);

    /// <summary>As <see cref="OnStrand"/>, for a function that is not this class's own.</summary>
    public Task<T> OnStrandOf<T>(Strand strand, Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        strand.Post(() =>
        {
            try
            {
                done.SetResult(work());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return done.Task;
    }

    public Errno DmaRead(ulong iova, Span<byte> destination) => Function.Port.Dma.Read(iova, destination);

    public Errno DmaWrite(ulong iova, ReadOnlySpan<byte> source) => Function.Port.Dma.Write(iova, source);

    /// <summary>Everything that sessions held has been given back.</summary>
    public void AssertBalanced()
    {
        foreach ((ResourceKind kind, long count) in _before)
        {
            // The strand's thread starts with the first posted work and stays.
            if (kind != ResourceKind.Thread)
            {
                Assert.True(count == Host.Ledger.Outstanding(kind), $"{kind}: {count} before, now {Host.Ledger}");
            }
        }

        Assert.Equal(0, Host.Mappings.Count);
    }

    public void Dispose()
    {
        Server.Stop();
        Assert.True(Server.Wait(Patience), "the server did not end");
        Server.Dispose();
        Host.Unregister(_device);
        _device.Dispose();
        Host.Dispose();
        _ends.Dispose();
        _folder.Dispose();
        Assert.True(Host.Ledger.Total == 0, $"left behind: {Host.Ledger}");
    }
}
