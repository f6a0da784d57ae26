using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Model;

/// <summary>
/// The library, driven by steps. Places are claimed by atomic exchanges, so that several threads may drive one world; then nothing is
/// predicted, only survived.
/// </summary>
internal partial class RealWorld : IWorld, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly VfioContainer?[] _containers = new VfioContainer?[Places.Containers];
    private readonly VfioGroup?[] _groupFiles = new VfioGroup?[Places.GroupFiles];
    private readonly OpenedDevice?[] _deviceFiles = new OpenedDevice?[Places.DeviceFiles];
    private readonly OpenedIommufd?[] _iommufds = new OpenedIommufd?[Places.Iommufds];
    private readonly OpenedCdev?[] _cdevs = new OpenedCdev?[Places.CdevFiles];
    private readonly HeldFile?[] _held = new HeldFile?[Places.HeldFiles];
    private readonly CountedMachine?[] _machines = new CountedMachine?[Places.Machines];
    private readonly ModelDevice[] _devices;
    private readonly IommuGroup[] _groups;
    private readonly ConcurrentQueue<(ModelDevice Device, Task<Errno> Task)> _leaving = [];
    private readonly bool _shared;
    private readonly ProcessMemory _memory;
    private readonly VfioHost _host;

    /// <summary>Units, groups and devices of one world on a host that others may use too; a shared one is driven by several threads.</summary>
    internal RealWorld(VfioHost host, string name, bool shared = false)
    {
        _shared = shared;
        _host = host;
        IommuUnit wide = host.AddIommuUnit($"{name}-wide");
        IommuUnit narrow = host.AddIommuUnit($"{name}-narrow");
        var reserved = new IovaRange(Places.ReservedFirst * Places.Page, ((Places.ReservedLast + 1) * Places.Page) - 1);
        _groups = [wide.CreateGroup(), wide.CreateGroup(), narrow.CreateGroup([reserved])];
        _devices = [.. Enumerable.Range(0, Places.Devices).Select(i => new ModelDevice($"{name}-{i}"))];
        _memory = ProcessMemory.Allocate(Places.MemoryPages * Places.Page, host.Ledger);
        for (int page = 0; page < Places.MemoryPages; page++)
        {
            _memory.Write((ulong)page * Places.Page, [(byte)page]);
        }
    }

    /// <summary>A host for one or more worlds, on which an unregistration asks once and then waits.</summary>
    internal static VfioHost NewHost() => new(new VfioHostOptions { RequestInterval = TimeSpan.FromHours(1) });

    private static Caller User => new(1000, RawIo: false, LockMemory: true, ulong.MaxValue);

    public Outcome? Apply(Step step)
    {
        try
        {
            return Do(step);
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }

    public void Observe(List<long> into)
    {
        for (int g = 0; g < Places.Groups; g++)
        {
            into.Add(_groups[g].IsClaimed ? 1 : 0);
            var domain = (SoftwareDomain?)_groups[g].Domain;
            for (int page = 0; page < Places.Pages; page++)
            {
                into.Add(Look(domain, page));
            }
        }

        foreach (ModelDevice device in _devices)
        {
            into.Add(device.Group is not null ? 1 : 0);
            into.Add(device.IsOpen ? 1 : 0);
            into.Add(device.Hypervisor is CountedMachine lease ? Array.IndexOf(_machines, lease) : -1);
        }

        foreach (CountedMachine? machine in _machines)
        {
            into.Add(machine?.References ?? -1);
        }

        foreach (VfioContainer? container in _containers)
        {
            into.Add(Maps(container));
        }
    }

    /// <summary>Looks at every page of every group as a device would; each must be nothing, refused, or a page of the memory.</summary>
    internal void LookAround()
    {
        foreach (IommuGroup group in _groups)
        {
            var domain = (SoftwareDomain?)group.Domain;
            for (int page = 0; page < Places.Pages; page++)
            {
                Assert.InRange(Look(domain, page), -2, Places.MemoryPages - 1);
            }
        }
    }

    /// <summary>Closes everything in an order that nobody chose and takes the devices back.</summary>
    internal void CloseAll(int order)
    {
        foreach (int user in Enumerable.Range(0, Places.Users))
        {
            foreach (Step step in Places.Closings(user, order + user))
            {
                Apply(step);
            }
        }

        foreach (CountedMachine? machine in _machines)
        {
            machine?.Destroy();
            Assert.Equal(0, machine?.References ?? 0);
        }

        for (int i = 0; i < Places.Devices; i++)
        {
            Apply(new Step(StepKind.Unregister, i));
        }

        foreach ((ModelDevice device, Task<Errno> task) in _leaving)
        {
            Wait(task, $"the unregistration of {device.Name}");
        }
    }

    public void Dispose()
    {
        foreach (IommuGroup group in _groups)
        {
            group.Unit.RemoveGroup(group);
        }

        _memory.Release();
    }

    private protected static void Wait(Task task, string what) => Assert.True(task.Wait(Patience), $"{what} did not end: a deadlock or a lost notification");

    private static long Look(SoftwareDomain? domain, int page)
    {
        byte value = 0;
        return domain?.Read((ulong)page * Places.Page, new Span<byte>(ref value)) switch
        {
            Errno.None => value,
            Errno.EPERM => -2,
            null or Errno.EFAULT => -1,
            Errno other => throw new InvalidOperationException($"page {page}: {other}"),
        };
    }

    private long Maps(VfioContainer? container)
    {
        try
        {
            return container is null ? -1 : _host.Options.MappingLimit - container.AvailableMappings;
        }
        catch (VfioException)
        {
            return -1;
        }
    }

    /// <summary>A file that a machine has; of a device's also which.</summary>
    private sealed record HeldFile(VfioFile File, IDisposable Hold, ModelDevice? Device);

    private sealed record OpenedDevice(VfioDeviceFile File, ModelDevice Device);

    private sealed record OpenedIommufd(IommufdContext Context, Ioas Ioas)
    {
        internal int Closed;
    }

    private sealed record OpenedCdev(VfioCdevFile File, ModelDevice Device)
    {
        internal uint Ioas;
    }
}
