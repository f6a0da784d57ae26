using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A device that another process serves on a vfio-user socket. Its users open it as any other: by its group and a container, or by itself and an
/// iommufd; what they map is mapped at the server, with a descriptor where the memory has one, else to be reached by messages. The first open
/// connects and the last close disconnects: a socket has one client at a time.
/// When the server goes, every call fails with ENOTCONN, maps fail, and an eventfd that is bound to the ERR interrupt is signalled; unmaps work, and
/// memory of regions that is mapped stays as it was left. Once all users have closed the device, opening it connects anew, and the server gets
/// the maps that its container has then.
/// </summary>
public sealed partial class RemoteVfioDevice : VfioDevice, IDisposable
{
    private readonly RemoteLink _link;
    private readonly IommuGroup _group;
    private readonly VfioHost _host;
    private readonly VfioUserClientOptions _options;
    private RemoteFacts? _facts;
    private int _disposed;

    private RemoteVfioDevice(string name, RemoteLink link, IommuGroup group, VfioUserClientOptions options)
        : base(name)
    {
        _link = link;
        _group = group;
        _host = group.Unit.Host;
        _options = options;
    }

    /// <summary>
    /// Makes a device of a socket and registers it, in a group of its own behind an IOMMU unit of its own. Nobody is connected to yet.
    /// </summary>
    /// <param name="host">The host.</param>
    /// <param name="name">Name by which users open it.</param>
    /// <param name="path">Path of the server's socket.</param>
    /// <param name="options">How the server is treated; null for the defaults.</param>
    /// <returns>The device, which the caller disposes; <see cref="VfioDevice.Group"/> has the number of its group.</returns>
    /// <exception cref="VfioException">It cannot be registered.</exception>
    public static RemoteVfioDevice Register(VfioHost host, string name, string path, VfioUserClientOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new VfioUserClientOptions();
        options = options with { Ledger = host.Ledger, Log = options.Log ?? host.Options.Log };
        var link = new RemoteLink(path, options);

        // Nobody here sees what a server writes: its own logging does.
        IommuUnit unit = host.AddIommuUnit($"of {name}", new IommuUnitOptions { CreateMirror = () => new RemoteDomain(link), DirtyTracking = false });
        IommuGroup group = unit.CreateGroup();
        var device = new RemoteVfioDevice(name, link, group, options);
        try
        {
            host.Register(device, group);
            return device;
        }
        catch
        {
            unit.RemoveGroup(group);
            throw;
        }
    }

    /// <summary>Why the connection is of no more use; null while it works, and while nobody has the device open.</summary>
    public string? Failure => _facts?.Client.Failure;

    /// <summary>Takes the device back from its host. Returns when no user has it open any more; never call it from a thread that has to close it.</summary>
    /// <exception cref="VfioException">EBUSY: somebody has attached its group to a domain outside VFIO, and has not detached it. The group stays.</exception>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _host.Unregister(this);
            _group.Unit.RemoveGroup(_group);
        }
    }

    /// <inheritdoc/>
    protected override void Open()
    {
        var deadline = new OpenDeadline(_options.OpenTimeout);
        try
        {
            Open(deadline);
        }
        catch (VfioException e) when (deadline.Left <= TimeSpan.Zero)
        {
            throw new VfioException(
                Errno.ETIMEDOUT,
                $"opening {Name}",
                $"the server has not answered all in {deadline.Time.TotalSeconds} s ({e.Message}); see why it is slow, or grant it more time (OpenTimeout)");
        }
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        RemoteFacts facts = Facts;
        facts.Client.Connection.Lost = null;
        _migration?.End();
        _migration = null;
        _logging = null;
        _link.Close(facts.Client);
        _facts = null;
        facts.Dispose();
        ForgetEvents();
    }

    /// <inheritdoc/>
    protected override VfioDeviceInfo GetInfo() => Facts.Info;

    /// <inheritdoc/>
    protected override VfioRegionInfo GetRegionInfo(uint index) => Facts.Region(index)?.Info
        ?? throw new VfioException(Errno.EINVAL, $"region {index} of {Name}", "the device has no such region");

    /// <inheritdoc/>
    protected override VfioIrqInfo GetIrqInfo(uint index) => Facts.Irq(index)
        ?? throw new VfioException(Errno.EINVAL, $"interrupt {index} of {Name}", "the device has no such interrupt");

    /// <inheritdoc/>
    protected override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        if (data.IsEmpty)
        {
            return Errno.None;
        }

        RemoteFacts facts = Facts;
        int length = data.Length;
        Errno errno = facts.Clip(region, offset, ref length);
        return errno == Errno.None ? facts.Client.TryRead(region, offset, data[..length], out transferred) : errno;
    }

    /// <inheritdoc/>
    protected override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        if (data.IsEmpty)
        {
            return Errno.None;
        }

        RemoteFacts facts = Facts;
        int length = data.Length;
        Errno errno = facts.Clip(region, offset, ref length);
        bool posted = _options.PostedWrites && region <= VfioRegions.Bar5;
        return errno == Errno.None ? facts.Client.TryWrite(region, offset, data[..length], out transferred, posted) : errno;
    }

    /// <inheritdoc/>
    protected override void Reset()
    {
        Facts.Client.Reset();
        _migration?.End();
    }

    /// <inheritdoc/>
    protected override UserMemory Map(uint region, ulong offset, ulong length, out ulong start) =>
        Facts.Map($"mapping region {region} of {Name}", region, offset, length, _host.Mappings, _options.Guard, out start);

    private void Open(OpenDeadline deadline)
    {
        VfioUserClient client = _link.Connect($"opening {Name}", deadline);
        RemoteFacts? facts = null;
        try
        {
            facts = RemoteFacts.Ask(client);
            _migration = RemoteMigration.Create(Name, client);
            _logging = CreateLogging(client);
            client.Connection.Lost = ServerLost;
            _link.Open(client);
            if (client.Failure is { } why)
            {
                throw new VfioException(Errno.ENOTCONN, $"opening {Name}", why);
            }

            client.Connection.Deadline = null;
            _facts = facts;
        }
        catch
        {
            _migration = null;
            _logging = null;
            client.Connection.Lost = null;
            facts?.Dispose();
            _link.Close(client);
            throw;
        }
    }

    private RemoteFacts Facts => _facts ?? throw new VfioException(Errno.ENOTCONN, Name, "the device is not open");
}
