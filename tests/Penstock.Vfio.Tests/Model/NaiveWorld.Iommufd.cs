using Penstock.Interop;

namespace Penstock.Vfio.Tests.Model;

/// <content>Iommufds with one address space each, and the devices bound to them.</content>
internal sealed partial class NaiveWorld
{
    private Outcome? OpenIommufd(int place)
    {
        if (_iommufds[place] is { IsClosed: false })
        {
            return null;
        }

        _iommufds[place] = new NaiveIommufd();
        return Errno.None;
    }

    private Outcome? CloseIommufd(int place)
    {
        if (_iommufds[place] is not { IsClosed: false } iommufd)
        {
            return null;
        }

        iommufd.IsClosed = true;
        return Errno.None;
    }

    private Outcome? MapIoas(int place, int page, int pages, int memory, DmaAccess access)
    {
        if (_iommufds[place] is not { IsClosed: false } iommufd)
        {
            return null;
        }

        if (pages == 0 || iommufd.Attached.Exists(c => Places.IsReserved(c.Group.Number, page, pages)))
        {
            return Errno.EINVAL;
        }

        if (iommufd.Space.Touches(page, pages))
        {
            return Errno.EEXIST;
        }

        iommufd.Space.Maps.Add(new NaiveMap { First = page, Pages = pages, Memory = memory, Access = access });
        return Errno.None;
    }

    private Outcome? UnmapIoas(int place, int page, int pages, bool all)
    {
        if (_iommufds[place] is not { IsClosed: false } iommufd)
        {
            return null;
        }

        List<NaiveMap> maps = iommufd.Space.Maps;
        if (all)
        {
            ulong sum = (ulong)maps.Sum(m => m.Pages) * Places.Page;
            maps.Clear();
            return new Outcome(Errno.None, sum);
        }

        if (pages == 0)
        {
            return Errno.EINVAL;
        }

        ulong removed = 0;
        foreach (NaiveMap map in maps.OrderBy(m => m.First).Where(m => m.Touches(page, pages)).ToArray())
        {
            if (map.First < page || map.Last > page + pages - 1)
            {
                return Errno.ENOENT;
            }

            removed += (ulong)map.Pages * Places.Page;
            maps.Remove(map);
        }

        return removed == 0 ? Errno.ENOENT : new Outcome(Errno.None, removed);
    }

    private Outcome? OpenCdev(int place, int index)
    {
        if (_cdevs[place] is not null)
        {
            return null;
        }

        NaiveDevice device = _devices[index];
        if (device.Group is not { } group || device.IsLeaving)
        {
            return Errno.ENODEV;
        }

        device.Nodes++;
        _openCdevs.Add(_cdevs[place] = new NaiveCdev { Device = device, Group = group });
        return Errno.None;
    }

    private Outcome? CloseCdev(int place)
    {
        if (_cdevs[place] is not { } cdev)
        {
            return null;
        }

        _cdevs[place] = null;
        LetGo(cdev);
        return Errno.None;
    }

    private void LetGo(NaiveCdev cdev)
    {
        if (--cdev.Holders != 0)
        {
            return;
        }

        _openCdevs.Remove(cdev);
        if (cdev.Iommufd is { } iommufd)
        {
            iommufd.Attached.Remove(cdev);
            LastUserGone(cdev.Device);
            cdev.Group.CdevUsers--;
            int count = _claims[cdev.Group.Number].Count - 1;
            _claims[cdev.Group.Number] = count == 0 ? default : (iommufd, count);
        }

        cdev.Device.Nodes--;
        FinishLeaving(cdev.Device);
    }

    private Outcome? Bind(int place, int iommufd)
    {
        if (_cdevs[place] is not { } cdev || _iommufds[iommufd] is not { IsClosed: false } found)
        {
            return null;
        }

        if (cdev.Group.IsOpen)
        {
            return Errno.EBUSY;
        }

        if (cdev.Iommufd is not null)
        {
            return Errno.EINVAL;
        }

        if (cdev.Group.IsDead || !cdev.Group.Openable.Contains(cdev.Device.Index))
        {
            return Errno.ENODEV;
        }

        if (cdev.Device.Users != 0)
        {
            return Errno.EINVAL;
        }

        (object? owner, int count) = _claims[cdev.Group.Number];
        if (count != 0 && owner != found)
        {
            return Errno.EPERM;
        }

        _claims[cdev.Group.Number] = (found, count + 1);
        FirstUser(cdev.Device, cdev.Machine);
        cdev.Iommufd = found;
        cdev.Group.CdevUsers++;
        return Errno.None;
    }

    private Outcome? Attach(int place)
    {
        if (_cdevs[place] is not { } cdev)
        {
            return null;
        }

        if (cdev.Iommufd is not { } iommufd)
        {
            return Errno.EINVAL;
        }

        if (iommufd.Attached.Contains(cdev))
        {
            return Errno.None;
        }

        if (iommufd.Space.TouchesReserved(cdev.Group.Number))
        {
            return Errno.EADDRINUSE;
        }

        iommufd.Attached.Add(cdev);
        return Errno.None;
    }

    private Outcome? Detach(int place)
    {
        if (_cdevs[place] is not { } cdev)
        {
            return null;
        }

        if (cdev.Iommufd is not { } iommufd)
        {
            return Errno.EINVAL;
        }

        iommufd.Attached.Remove(cdev);
        return Errno.None;
    }
}
