using Penstock.Interop;

namespace Penstock.Vfio.Tests.Model;

/// <summary>
/// The rules of the specification as books that anybody can check: lists and counters, one step at a time. It knows nothing of how the
/// library does it.
/// </summary>
internal sealed partial class NaiveWorld : IWorld
{
    private readonly NaiveContainer?[] _containers = new NaiveContainer?[Places.Containers];
    private readonly NaiveGroupFile?[] _groupFiles = new NaiveGroupFile?[Places.GroupFiles];
    private readonly NaiveDeviceFile?[] _deviceFiles = new NaiveDeviceFile?[Places.DeviceFiles];
    private readonly NaiveIommufd?[] _iommufds = new NaiveIommufd?[Places.Iommufds];
    private readonly NaiveCdev?[] _cdevs = new NaiveCdev?[Places.CdevFiles];
    private readonly NaiveMachine?[] _machines = new NaiveMachine?[Places.Machines];
    private readonly NaiveDevice[] _devices = [.. Enumerable.Range(0, Places.Devices).Select(i => new NaiveDevice { Index = i })];
    private readonly NaiveGroup?[] _groups = new NaiveGroup?[Places.Groups];

    /// <summary>Who owns each group's DMA, and how often he claimed it.</summary>
    private readonly (object? Owner, int Count)[] _claims = new (object?, int)[Places.Groups];

    public Outcome? Apply(Step step) => step.Kind switch
    {
        StepKind.OpenContainer => OpenContainer(step.A),
        StepKind.CloseContainer => CloseContainer(step.A),
        StepKind.SetIommu => SetIommu(step.A, step.B == 1),
        StepKind.Map => Map(step.A, step.B, step.C, step.D, (DmaAccess)step.E),
        StepKind.Unmap => Unmap(step.A, step.B, step.C, step.D == 1),
        StepKind.OpenGroup => OpenGroup(step.A, step.B),
        StepKind.CloseGroup => CloseGroup(step.A),
        StepKind.SetContainer => SetContainer(step.A, step.B),
        StepKind.UnsetContainer => UnsetContainer(step.A),
        StepKind.OpenDevice => OpenDevice(step.A, step.B, step.C),
        StepKind.CloseDevice => CloseDevice(step.A),
        StepKind.Register => Register(step.A),
        StepKind.Unregister => Unregister(step.A),
        StepKind.OpenIommufd => OpenIommufd(step.A),
        StepKind.CloseIommufd => CloseIommufd(step.A),
        StepKind.MapIoas => MapIoas(step.A, step.B, step.C, step.D, (DmaAccess)step.E),
        StepKind.UnmapIoas => UnmapIoas(step.A, step.B, step.C, step.D == 1),
        StepKind.OpenCdev => OpenCdev(step.A, step.B),
        StepKind.CloseCdev => CloseCdev(step.A),
        StepKind.Bind => Bind(step.A, step.B),
        StepKind.Attach => Attach(step.A),
        StepKind.Detach => Detach(step.A),
        StepKind.CreateMachine => CreateMachine(step.A),
        StepKind.DestroyMachine => DestroyMachine(step.A),
        StepKind.SetGroupMachine => SetGroupMachine(step.A, step.B),
        StepKind.SetCdevMachine => SetCdevMachine(step.A, step.B),
        StepKind.AddGroupToMachine => AddGroupToMachine(step.A, step.B, step.C),
        StepKind.AddCdevToMachine => AddCdevToMachine(step.A, step.B, step.C),
        StepKind.DelFromMachine => DelFromMachine(step.A),
        _ => throw new InvalidOperationException($"{step.Kind} is not one step"),
    };

    public void Observe(List<long> into)
    {
        for (int g = 0; g < Places.Groups; g++)
        {
            into.Add(_claims[g].Count != 0 ? 1 : 0);
            NaiveSpace? space = SpaceOf(g);
            for (int page = 0; page < Places.Pages; page++)
            {
                NaiveMap? map = space?.At(page);
                into.Add(map is null ? -1 : (map.Access & DmaAccess.Read) == 0 ? -2 : map.Memory + page - map.First);
            }
        }

        foreach (NaiveDevice device in _devices)
        {
            into.Add(device.Group is not null ? 1 : 0);
            into.Add(device.Users != 0 ? 1 : 0);
            into.Add(device.Lease is null ? -1 : Array.IndexOf(_machines, device.Lease));
        }

        foreach (NaiveMachine? machine in _machines)
        {
            into.Add(machine?.References ?? -1);
        }

        foreach (NaiveContainer? container in _containers)
        {
            into.Add(container is null or { IsClosed: true } or { Backend: null } ? -1 : container.Backend.Maps.Count);
        }
    }

    private NaiveSpace? SpaceOf(int group)
    {
        foreach (NaiveCdev cdev in _openCdevs)
        {
            if (cdev is { Iommufd: { } iommufd } && cdev.Group.Number == group && iommufd.Attached.Exists(c => c.Group.Number == group))
            {
                return iommufd.Space;
            }
        }

        return _groups[group]?.Container?.Backend;
    }

    private Outcome? CreateMachine(int place)
    {
        if (_machines[place] is { References: not 0 })
        {
            return null;
        }

        _machines[place] = new NaiveMachine();
        return Errno.None;
    }

    private Outcome? DestroyMachine(int place)
    {
        if (_machines[place] is not { HasOwner: true } machine)
        {
            return null;
        }

        machine.HasOwner = false;
        machine.References--;
        return Errno.None;
    }

    private Outcome? SetGroupMachine(int file, int machine)
    {
        if (_groupFiles[file] is not { IsClosed: false } found)
        {
            return null;
        }

        found.Machine = machine == Places.Machines ? null : _machines[machine];
        return Errno.None;
    }

    private Outcome? SetCdevMachine(int file, int machine)
    {
        if (_cdevs[file] is not { } found)
        {
            return null;
        }

        found.Machine = machine == Places.Machines ? null : _machines[machine];
        return Errno.None;
    }

    private static NaiveMachine? Acquire(NaiveMachine? machine)
    {
        if (machine is null or { References: 0 })
        {
            return null;
        }

        machine.References++;
        return machine;
    }

    private void FirstUser(NaiveDevice device, NaiveMachine? machine)
    {
        device.Users = 1;
        device.Lease = Acquire(machine);
    }

    private void LastUserGone(NaiveDevice device)
    {
        device.Users = 0;
        if (device.Lease is { } lease)
        {
            lease.References--;
            device.Lease = null;
        }
    }
}
