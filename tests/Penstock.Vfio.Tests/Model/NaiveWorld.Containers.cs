using Penstock.Interop;

namespace Penstock.Vfio.Tests.Model;

/// <content>Containers, groups and the devices opened through them.</content>
internal sealed partial class NaiveWorld
{
    private Outcome? OpenContainer(int place)
    {
        if (_containers[place] is { IsClosed: false })
        {
            return null;
        }

        _containers[place] = new NaiveContainer();
        return Errno.None;
    }

    private Outcome? CloseContainer(int place)
    {
        if (_containers[place] is not { IsClosed: false } container)
        {
            return null;
        }

        container.IsClosed = true;
        return Errno.None;
    }

    private Outcome? SetIommu(int place, bool secondForm)
    {
        if (_containers[place] is not { } container)
        {
            return null;
        }

        if (container.IsClosed)
        {
            return Errno.EBADF;
        }

        if (container.Groups.Count == 0 || container.Backend is not null)
        {
            return Errno.EINVAL;
        }

        container.Backend = new NaiveSpace();
        container.IsSecondForm = secondForm;
        return Errno.None;
    }

    private Outcome? Map(int place, int page, int pages, int memory, DmaAccess access)
    {
        if (_containers[place] is not { } container)
        {
            return null;
        }

        if (container.IsClosed)
        {
            return Errno.EBADF;
        }

        if (container.Backend is not { } space || pages == 0)
        {
            return Errno.EINVAL;
        }

        if (space.Touches(page, pages))
        {
            return Errno.EEXIST;
        }

        if (container.Groups.Exists(g => Places.IsReserved(g.Number, page, pages)))
        {
            return Errno.EINVAL;
        }

        space.Maps.Add(new NaiveMap { First = page, Pages = pages, Memory = memory, Access = access });
        return Errno.None;
    }

    private Outcome? Unmap(int place, int page, int pages, bool all)
    {
        if (_containers[place] is not { } container)
        {
            return null;
        }

        if (container.IsClosed)
        {
            return Errno.EBADF;
        }

        if (container.Backend is not { } space)
        {
            return Errno.EINVAL;
        }

        if (all)
        {
            (page, pages) = (0, Places.Pages + 8);
        }
        else if (pages == 0)
        {
            return Errno.EINVAL;
        }

        int last = page + pages - 1;
        if (container.IsSecondForm && !all && (space.At(page) is { } low && low.First != page || space.At(last) is { } high && high.Last != last))
        {
            return Errno.EINVAL;
        }

        ulong removed = 0;
        foreach (NaiveMap map in space.Maps.OrderBy(m => m.First).Where(m => m.Touches(page, pages)).ToArray())
        {
            if (map.First < page)
            {
                break;
            }

            removed += (ulong)map.Pages * Places.Page;
            space.Maps.Remove(map);
        }

        return new Outcome(Errno.None, removed);
    }

    private Outcome? OpenGroup(int place, int group)
    {
        if (_groupFiles[place] is { IsClosed: false })
        {
            return null;
        }

        if (_groups[group] is not { } found)
        {
            return Errno.ENODEV;
        }

        if (found.CdevUsers != 0 || found.IsOpen)
        {
            return Errno.EBUSY;
        }

        found.IsOpen = true;
        _groupFiles[place] = new NaiveGroupFile { Group = found };
        return Errno.None;
    }

    private Outcome? CloseGroup(int place)
    {
        if (_groupFiles[place] is not { IsClosed: false } file)
        {
            return null;
        }

        file.IsClosed = true;
        LetGo(file);
        return Errno.None;
    }

    private Outcome? SetContainer(int place, int container)
    {
        if (_groupFiles[place] is not { } file || _containers[container] is not { } found)
        {
            return null;
        }

        NaiveGroup group = file.Group;
        if (file.IsClosed)
        {
            return Errno.EBADF;
        }

        if (group.Container is not null)
        {
            return Errno.EINVAL;
        }

        if (group.IsDead)
        {
            return Errno.ENODEV;
        }

        if (found.IsClosed)
        {
            return Errno.EBADF;
        }

        if (_claims[group.Number].Count != 0)
        {
            return Errno.EPERM;
        }

        if (found.Backend is { } space && space.TouchesReserved(group.Number))
        {
            return Errno.EINVAL;
        }

        _claims[group.Number] = (group, 1);
        found.Groups.Add(group);
        group.Container = found;
        return Errno.None;
    }

    private Outcome? UnsetContainer(int place)
    {
        if (_groupFiles[place] is not { } file)
        {
            return null;
        }

        if (file.IsClosed)
        {
            return Errno.EBADF;
        }

        if (file.Group.Container is null)
        {
            return Errno.EINVAL;
        }

        if (file.Group.ContainerUsers != 0)
        {
            return Errno.EBUSY;
        }

        Leave(file.Group);
        return Errno.None;
    }

    private Outcome? OpenDevice(int place, int groupFile, int index)
    {
        if (_deviceFiles[place] is not null || _groupFiles[groupFile] is not { } via)
        {
            return null;
        }

        if (via.IsClosed)
        {
            return Errno.EBADF;
        }

        if (!via.Group.Openable.Contains(index))
        {
            return Errno.ENODEV;
        }

        if (via.Group.Container?.Backend is null)
        {
            return Errno.EINVAL;
        }

        NaiveDevice device = _devices[index];
        if (device.Users == 0)
        {
            FirstUser(device, via.Machine);
        }
        else
        {
            device.Users++;
        }

        via.Group.ContainerUsers++;
        via.References++;
        _deviceFiles[place] = new NaiveDeviceFile { Device = device, Via = via };
        return Errno.None;
    }

    private Outcome? CloseDevice(int place)
    {
        if (_deviceFiles[place] is not { } file)
        {
            return null;
        }

        _deviceFiles[place] = null;
        if (--file.Device.Users == 0)
        {
            LastUserGone(file.Device);
        }

        file.Via.Group.ContainerUsers--;
        Unreference(file.Via);
        FinishLeaving(file.Device);
        return Errno.None;
    }

    private Outcome? Register(int index)
    {
        NaiveDevice device = _devices[index];
        if (device.Group is not null)
        {
            return Errno.EINVAL;
        }

        int number = Places.GroupOf(index);
        NaiveGroup group = _groups[number] ??= new NaiveGroup { Number = number };
        group.Openable.Add(index);
        group.Registered++;
        device.Group = group;
        return Errno.None;
    }

    private Outcome? Unregister(int index)
    {
        NaiveDevice device = _devices[index];
        if (device.Group is not { } group || device.IsLeaving)
        {
            return Errno.EINVAL;
        }

        group.Openable.Remove(index);
        device.IsLeaving = true;
        FinishLeaving(device);
        return Errno.None;
    }

    private void FinishLeaving(NaiveDevice device)
    {
        if (!device.IsLeaving || device.Users != 0 || device.Nodes != 0)
        {
            return;
        }

        NaiveGroup group = device.Group!;
        device.IsLeaving = false;
        device.Group = null;
        if (--group.Registered == 0)
        {
            Leave(group);
            group.IsDead = true;
            _groups[group.Number] = null;
        }
    }

    private void Unreference(NaiveGroupFile file)
    {
        if (--file.References == 0)
        {
            Leave(file.Group);
            file.Group.IsOpen = false;
        }
    }

    private void Leave(NaiveGroup group)
    {
        if (group.Container is not { } container)
        {
            return;
        }

        group.Container = null;
        _claims[group.Number] = default;
        container.Groups.Remove(group);
        if (container.Groups.Count == 0)
        {
            container.Backend = null;
        }
    }
}
