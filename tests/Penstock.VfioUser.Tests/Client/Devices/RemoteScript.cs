using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>A remote device in a container, and a script for its server.</summary>
internal sealed class RemoteScript
{
    private readonly VfioGroup _group;

    private RemoteScript(VfioHost host, RemoteVfioDevice device, VfioGroup group, VfioContainer container)
    {
        Host = host;
        Device = device;
        Container = container;
        _group = group;
    }

    public VfioHost Host { get; }

    public RemoteVfioDevice Device { get; }

    public VfioContainer Container { get; }

    /// <summary>Runs a script from the negotiation on: what happens at the open comes first, then what happens afterwards.</summary>
    public static void Run(
        Action<FakeServer> opening,
        Action<FakeServer?, RemoteScript> use,
        Action<FakeServer>? later = null,
        string json = FakeServer.Json,
        VfioUserClientOptions? options = null) => FakeServer.Run(
        server =>
        {
            server.Negotiate(json);
            server.DescribeCard();
            opening(server);
            later?.Invoke(server);
        },
        (path, _) => Use(path, rig => use(null, rig), options: options));

    /// <summary>A host with the remote device of a path, and a container that its group is in.</summary>
    public static void Use(string path, Action<RemoteScript> use, Action<RemoteScript>? first = null, VfioUserClientOptions? options = null)
    {
        var host = new VfioHost();
        var device = RemoteVfioDevice.Register(host, "remote", path, Patient.Make(options) with { TwinSocket = false });
        try
        {
            using VfioContainer container = host.OpenContainer(Caller.Current);
            using VfioGroup group = host.OpenGroup(device.Group!.Number, Caller.Current);
            group.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            var rig = new RemoteScript(host, device, group, container);
            first?.Invoke(rig);
            use(rig);
        }
        finally
        {
            device.Dispose();
            host.Mappings.Trim();
            host.Dispose();
        }

        Assert.True(host.Ledger.Total == 0, $"left behind: {host.Ledger}");
    }

    public VfioDeviceFile Open() => _group.OpenDevice("remote");

    /// <summary>Memory of a file that goes with messages.</summary>
    public MappedMemory FileMemory(ulong length)
    {
        using MemoryFile file = Handles.Memory(length);
        return MappedMemory.Create(Host.Mappings, file.Descriptor, 0, length);
    }
}
