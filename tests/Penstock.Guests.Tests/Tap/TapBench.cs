using System.Collections.Concurrent;
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

    private readonly string _folder = Directory.CreateTempSubdirectory("penstock-").FullName;
    private readonly NvmeFunction _disk = new(new MemoryNvmeBacking(DiskSize), new NvmeOptions { SerialNumber = DiskBench.Serial });

    public TapBench(RpcitPath path, TextWriter? recording = null, IMessageObserver? observer = null)
    {
        Served = TappedServer.Serve(_disk, Path.Combine(_folder, "disk.sock"), new TappedServerOptions
        {
            FunctionId = FunctionId,
            RamSize = (ulong)MemoryMegabytes << 20,
            Path = path,
            Recording = recording,
            Server = new VfioUserServerOptions { Observer = observer ?? Messages, Log = Log.Enqueue },
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
        Devices = [QemuDevice.Zpci(7, FunctionId, "disk"), QemuDevice.VfioUser(Served.Server.Path, "disk")],
        ExtraArguments = Served.QemuArguments(await QemuPlugin.BuildAsync(TapPlugin.Name, TapPlugin.Source)),
    };

    /// <summary>Waits until RPCIT is answered in a way: the guest must do some, so it has to be busy.</summary>
    public async Task WaitForPathAsync(RpcitPath path)
    {
        for (int i = 0; i < 600 && Served.Tap.Path != path; i++)
        {
            await Task.Delay(100);
        }

        Assert.Equal(path, Served.Tap.Path);
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
        Directory.Delete(_folder, recursive: true);
    }
}
