using System.Buffers.Binary;
using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>
/// A function behind the files that a user holds: in the user's own process and host, or served on a socket and a remote device in the user's host. What a
/// test does with it is the same. Disposing verifies that both hosts own nothing more.
/// </summary>
internal sealed class DeviceRig : IDisposable
{
    public const string Name = "0000:01:00.0";
    private const uint Config = VfioRegions.Config;

    private readonly VfioGroup? _group;
    private readonly Action _unplug;
    private readonly PciFunctionServer? _server;
    private readonly TemporaryFolder? _folder;
    private readonly Ioas? _ioas;
    private readonly IommufdContext? _iommufd;
    private readonly VfioContainer? _container;
    private bool _killed;

    private DeviceRig(IPciFunction function, bool remote, bool iommufd, VfioUserClientOptions? options)
    {
        Host = new VfioHost(new VfioHostOptions { Log = Log.Enqueue });
        IommuGroup group;
        if (remote)
        {
            _folder = new TemporaryFolder();
            _server = PciFunctionServer.Serve(function, _folder.File("s"), Patient.Server with { Log = ServerLog.Enqueue });
            var device = RemoteVfioDevice.Register(Host, Name, _server.Path, Patient.Make(options));
            (_unplug, group) = (device.Dispose, device.Group!);
        }
        else
        {
            group = Host.AddIommuUnit("unit").CreateGroup();
            var device = new VfioPciCoreDevice(Name, function, group, Log.Enqueue);
            Host.Register(device, group);
            _unplug = () =>
            {
                Host.Unregister(device);
                device.Dispose();
            };
        }

        if (iommufd)
        {
            _iommufd = Host.OpenIommufd(Caller.Current);
            _ioas = _iommufd.AllocateIoas();
            VfioCdevFile file = Host.OpenCdev(Name, Caller.Current);
            file.Bind(_iommufd);
            file.Attach(_ioas.Id);
            File = file;
        }
        else
        {
            _container = Host.OpenContainer(Caller.Current);
            _group = Host.OpenGroup(group.Number, Caller.Current);
            _group.SetContainer(_container);
            _container.SetIommu(VfioIommuType.Type1V2);
            File = _group.OpenDevice(Name);
        }
    }

    public VfioHost Host { get; }

    public VfioDeviceFile File { get; private set; }

    public ConcurrentQueue<string> Log { get; } = new();

    public ConcurrentQueue<string> ServerLog { get; } = new();

    public string ServerPath => _server!.Path;

    public static DeviceRig Local(IPciFunction function, bool iommufd = false) => new(function, remote: false, iommufd, null);

    public static DeviceRig Remote(IPciFunction function, VfioUserClientOptions? options = null, bool iommufd = false) => new(function, remote: true, iommufd, options);

    /// <summary>Maps memory for DMA, by whichever address space the device is in.</summary>
    public void Map(ulong iova, ulong size, UserMemory memory, ulong offset = 0, DmaAccess access = DmaAccess.ReadWrite)
    {
        if (_container is not null)
        {
            _container.MapDma(iova, size, access, memory, offset);
        }
        else
        {
            _ioas!.Map(memory, offset, size, access, iova);
        }
    }

    public void Unmap(ulong iova, ulong size)
    {
        if (_container is not null)
        {
            Assert.Equal(size, _container.UnmapDma(iova, size));
        }
        else
        {
            _ioas!.Unmap(iova, size);
        }
    }

    /// <summary>Memory of a file that other processes can have.</summary>
    public MappedMemory FileMemory(ulong length)
    {
        using MemoryFile file = Handles.Memory(length);
        return MappedMemory.Create(Host.Mappings, file.Descriptor, 0, length);
    }

    /// <summary>Memory, I/O and bus mastering on.</summary>
    public void Enable() => Write(Config, 4, 7, 0);

    public byte[] Read(uint region, ulong offset, int length)
    {
        byte[] data = new byte[length];
        Assert.Equal((Errno.None, length), (File.Read(region, offset, data, out int done), done));
        return data;
    }

    public uint Read32(uint region, ulong offset) => BinaryPrimitives.ReadUInt32LittleEndian(Read(region, offset, 4));

    public ulong Read64(uint region, ulong offset) => BinaryPrimitives.ReadUInt64LittleEndian(Read(region, offset, 8));

    public void Write(uint region, ulong offset, params byte[] data) =>
        Assert.Equal((Errno.None, data.Length), (File.Write(region, offset, data, out int done), done));

    public void Write32(uint region, ulong offset, uint value) => Write(region, offset, (byte[])new Payload().U32(value));

    public void Write64(uint region, ulong offset, ulong value) => Write(region, offset, (byte[])new Payload().U64(value));

    public void Bind(uint index, uint start, params EventDescriptor?[] events) => File.SetIrqs(new VfioIrqRequest
    {
        Index = index,
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Start = start,
        Count = (uint)events.Length,
        Events = events,
    });

    /// <summary>Closes the device and opens it again; its address space stays.</summary>
    public void Reopen()
    {
        File.Dispose();
        File = _group!.OpenDevice(Name);
    }

    public VfioDeviceFile OpenAgain() => File = _group!.OpenDevice(Name);

    /// <summary>Ends the server as its death would.</summary>
    public void KillServer()
    {
        _killed = true;
        _server!.Dispose();
    }

    public void Dispose()
    {
        File.Dispose();
        _iommufd?.Dispose();
        _group?.Dispose();
        _container?.Dispose();
        _unplug();
        if (!_killed)
        {
            _server?.Dispose();
        }

        Host.Mappings.Trim();
        Host.Dispose();
        _folder?.Dispose();
        Assert.True(Host.Ledger.Total == 0, $"left behind: {Host.Ledger}");
        Assert.True(_server is null || _server.Host.Ledger.Total == 0, $"left behind: {_server?.Host.Ledger}");
    }
}
