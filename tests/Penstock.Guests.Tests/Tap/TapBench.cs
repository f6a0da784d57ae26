using System.Collections.Concurrent;
using System.Diagnostics;
using Penstock.Devices;
using Penstock.Hypervisor;
using Penstock.Lab;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>A disk in memory for one s390x guest whose RPCIT is tapped.</summary>
internal sealed class TapBench : IDisposable
{
    private const uint FunctionId = 9;
    private const ulong DiskSize = 160 << 20;
    private const int MemoryMegabytes = 512;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private readonly TemporaryFolder _folder = new();
    private readonly NvmeFunction _disk = new(new MemoryNvmeBacking(DiskSize), new NvmeOptions { SerialNumber = DiskBench.Serial });

    public TapBench(RpcitPath path, TextWriter? recording = null, IMessageObserver? observer = null)
    {
        Served = TappedServer.Serve(_disk, _folder.File("disk.sock"), new TappedServerOptions
        {
            FunctionId = FunctionId,
            RamSize = (ulong)MemoryMegabytes << 20,
            Path = path,
            Recording = recording,
            Server = new VfioUserServerOptions { PeerTimeout = DeviceBench.PeerTime, Observer = observer ?? Messages, Log = Log.Enqueue },
        });
    }

    public TappedServer Served { get; }

    public Traffic Messages { get; } = new();

    /// <summary>What the server and the tap told people.</summary>
    public ConcurrentQueue<string> Log { get; } = new();

    /// <summary>The guest with the disk, this process's memory and the plugin.</summary>
    public async Task<GuestConfiguration> ConfigureAsync() => new()
    {
        MemoryMegabytes = MemoryMegabytes,
        SharedMemory = false,
        Devices = [QemuDevice.Zpci(7, FunctionId, "disk"), DeviceBench.VfioUser(Served.Server.Path, "disk")],
        ExtraArguments = Served.QemuArguments(await QemuPlugin.BuildAsync(TapPlugin.Name, TapPlugin.Source)),
    };

    /// <summary>Waits until RPCIT is answered in a way: the guest must do some, so it has to be busy.</summary>
    public async Task WaitForPathAsync(RpcitPath path)
    {
        await ComesAsync(() => Served.Tap.Path == path);
        Assert.Equal(path, Served.Tap.Path);
    }

    /// <summary>Waits until QEMU has told a page, and another one afterwards: the guest must be busy.</summary>
    public async Task WaitForMapsAsync()
    {
        for (int i = 0; i < 2; i++)
        {
            long maps = i == 0 ? 0 : Served.Traffic.Maps;
            Assert.True(await ComesAsync(() => Served.Traffic.Maps > maps), $"after {maps} pages QEMU tells no more");
        }
    }

    /// <summary>Waits until a good many RPCITs were answered here without one page of QEMU's. What it has in hand at a change of path may still come before.</summary>
    public async Task WaitUntilNoMapsComeAsync()
    {
        const int Looks = 10;
        const int Calls = 500;
        long maps = -1;
        for (int look = 0; look < Looks && maps != Served.Traffic.Maps; look++)
        {
            maps = Served.Traffic.Maps;
            long calls = Answered;
            Assert.True(await ComesAsync(() => Answered - calls >= Calls), $"{Answered - calls} RPCITs were answered here, and then no more");
        }

        Assert.Equal(maps, Served.Traffic.Maps);
    }

    private long Answered
    {
        get
        {
            TapCounters counters = Served.Tap.Counters;
            return counters.Asked + counters.ByRing;
        }
    }

    private static async Task<bool> ComesAsync(Func<bool> condition)
    {
        for (var clock = Stopwatch.StartNew(); !condition(); await Task.Delay(20))
        {
            if (clock.Elapsed > Limit)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>No page ever came by a message, and nothing went wrong.</summary>
    public void VerifyNoMaps()
    {
        Assert.Equal(0, Served.Traffic.Maps);
        VerifyNoErrors();
    }

    public void VerifyNoErrors()
    {
        Assert.False(Served.Tap.IsGivenUp);
        Assert.Empty(Messages.Errors);
        Assert.DoesNotContain(Log, line => line.Contains("fault", StringComparison.Ordinal) || line.Contains("the tap", StringComparison.Ordinal));
    }

    public void Dispose()
    {
        Served.Dispose();
        _disk.Dispose();
        _folder.Dispose();
    }
}
