using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>
/// A device bound to a context, which owns its group's DMA from then on. The devices of a group always use the same page table. All
/// members may be called from any thread.
/// </summary>
public sealed partial class IommufdDevice : IommufdObject, IIommufdBinding
{
    private readonly IommufdGroup _group;

    internal IommufdDevice(IommufdContext context, string name, IommufdGroup group)
        : base(context)
    {
        Name = name;
        _group = group;
        Users = 1;
    }

    /// <summary>The device's name.</summary>
    public string Name { get; }

    /// <summary>Its group.</summary>
    public IommuGroup Group => _group.Group;

    /// <summary>The page table that it is attached to; null while its DMA is blocked.</summary>
    public HwPagetable? Table
    {
        get
        {
            lock (Context.Gate)
            {
                return IsAttached ? _group.Table : null;
            }
        }
    }

    bool IIommufdBinding.IsAttached => IsAttached;

    internal bool IsAttached => _group.Attached.Contains(this);

    internal override int DestroyOrder => 1;

    /// <summary>Attaches it to a page table, or to an address space, which finds or makes a page table.</summary>
    /// <param name="id">Id of the page table or address space.</param>
    /// <returns>Id of the page table.</returns>
    /// <exception cref="VfioException">
    /// ENOENT: no such id; EINVAL: the id of something else, of a table of another IOMMU, or the group uses another table; EBUSY: attached
    /// already; EADDRINUSE: a mapping or an allowed range touches what the device or its IOMMU cannot use; EFAULT, ENOMEM: the mapped
    /// memory cannot be pinned.
    /// </exception>
    public uint Attach(uint id) => Change($"attaching {Name} to {id}", id, AttachTo);

    /// <summary>Switches it, and all attached devices of its group, to another page table at once.</summary>
    /// <param name="id">Id of the page table or address space.</param>
    /// <returns>Id of the page table.</returns>
    /// <exception cref="VfioException">As <see cref="Attach"/>; EINVAL: not attached. The old table then stays in force.</exception>
    public uint Replace(uint id) => Change($"moving {Name} to {id}", id, ReplaceWith);

    /// <summary>Detaches it; the last device of a group leaves the group's DMA blocked. Without effect when not attached.</summary>
    public void Detach()
    {
        lock (Context.Gate)
        {
            if (!_group.Attached.Remove(this))
            {
                return;
            }

            HwPagetable table = _group.Table!;
            table.Faults?.AnswerAll(this);
            if (_group.Attached.Count == 0)
            {
                _group.Group.Detach();
                _group.Table = null;
            }

            table.Paging.Ioas.Unreserve(this);
            Put(table, 1);
        }
    }

    /// <summary>Reports page faults of the device to whoever handles them for its page table.</summary>
    /// <param name="faults">Faults that are answered as one; ids, last-page flag and cookie are filled in here.</param>
    /// <param name="answered">
    /// Called once with the answer, from any thread, maybe before this returns and with the context locked: it must not wait for anybody.
    /// </param>
    public void ReportFaults(ReadOnlySpan<IommuHwptPageFault> faults, Action<IommuFaultResponseCode> answered)
    {
        ArgumentNullException.ThrowIfNull(answered);
        ArgumentOutOfRangeException.ThrowIfZero(faults.Length);
        lock (Context.Gate)
        {
            if (IsAttached && _group.Table!.Faults is { } queue)
            {
                queue.Add(this, faults, answered);
                return;
            }
        }

        answered(IommuFaultResponseCode.Invalid);
    }

    internal override void Destroyed()
    {
        if (--_group.Bound == 0)
        {
            Context.Forget(_group);
        }

        Group.ReleaseDma(Context);
    }

    private uint Change(string what, uint id, Action<string, HwPagetable, bool> change)
    {
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            if (Group.IsNoIommu)
            {
                throw new VfioException(Errno.EOPNOTSUPP, what, "it has no IOMMU, and no page table for what it reaches");
            }

            switch (Context.Find<IommufdObject>(what, id))
            {
                case HwPagetable table:
                    change(what, table, false);
                    return table.Id;
                case Ioas ioas:
                    return ChangeTo(what, ioas, change);
                default:
                    throw new VfioException(Errno.EINVAL, what, $"object {id} is neither a page table nor an address space");
            }
        }
    }

    private uint ChangeTo(string what, Ioas ioas, Action<string, HwPagetable, bool> change)
    {
        foreach (PagingHwPagetable table in ioas.Tables.Where(t => t.IsAutomatic).ToArray())
        {
            try
            {
                change(what, table, false);
                return table.Id;
            }
            catch (VfioException e) when (e.Errno == Errno.EINVAL)
            {
                // This one does not fit the device; the next may, or a new one does.
            }
        }

        var made = new PagingHwPagetable(ioas, Group.Unit, IommuHwptAllocFlags.None, automatic: true);
        try
        {
            change(what, made, true);
        }
        catch
        {
            made.Domain.Dispose();
            throw;
        }

        return made.Id;
    }

    private void AttachTo(string what, HwPagetable table, bool isNew)
    {
        if (IsAttached)
        {
            throw new VfioException(Errno.EBUSY, what, "it is attached already");
        }

        ThrowIfPasidsForbid(what, table);
        if (_group.Table is not null && _group.Table != table)
        {
            throw new VfioException(Errno.EINVAL, what, $"another device of {Group} is attached to {_group.Table}");
        }

        ThrowIfForeign(what, table);
        Ioas ioas = table.Paging.Ioas;
        ioas.Reserve(what, Group.Reserved, this);
        try
        {
            Enter(what, table, isNew);
        }
        catch
        {
            ioas.Unreserve(this);
            throw;
        }

        _group.Attached.Add(this);
        table.Users++;
    }

    private void ReplaceWith(string what, HwPagetable table, bool isNew)
    {
        if (!IsAttached)
        {
            throw new VfioException(Errno.EINVAL, what, "it is not attached");
        }

        HwPagetable old = _group.Table!;
        if (old == table)
        {
            return;
        }

        ThrowIfForeign(what, table);
        ThrowIfPasidsForbid(what, table);
        Ioas from = old.Paging.Ioas;
        Ioas to = table.Paging.Ioas;
        int reserved = 0;
        try
        {
            for (; from != to && reserved < _group.Attached.Count; reserved++)
            {
                to.Reserve(what, Group.Reserved, _group.Attached[reserved]);
            }

            Enter(what, table, isNew);
        }
        catch
        {
            while (reserved-- > 0)
            {
                to.Unreserve(_group.Attached[reserved]);
            }

            throw;
        }

        foreach (IommufdDevice device in _group.Attached)
        {
            old.Faults?.AnswerAll(device);
            if (from != to)
            {
                from.Unreserve(device);
            }
        }

        table.Users += _group.Attached.Count;
        Put(old, _group.Attached.Count);
    }

    /// <summary>Puts a table in force for the whole group; a new one becomes an object first.</summary>
    private void Enter(string what, HwPagetable table, bool isNew)
    {
        if (isNew)
        {
            Context.AddTable(what, table.Paging);
        }

        try
        {
            if (_group.Table != table)
            {
                Group.Attach(table.Domain);
                _group.Table = table;
            }
        }
        catch
        {
            if (isNew)
            {
                Context.Remove(table);
            }

            throw;
        }
    }

    private void ThrowIfPasidsForbid(string what, HwPagetable table)
    {
        if (_group.Pasids.Count != 0 && !table.IsForPasids)
        {
            throw new VfioException(Errno.EINVAL, what, $"PASIDs of {Group} are attached, and {table} was not made with the flag PASID");
        }
    }

    private void ThrowIfForeign(string what, HwPagetable table)
    {
        if (table.Unit != Group.Unit)
        {
            throw new VfioException(Errno.EINVAL, what, $"{table} is for {table.Unit}, the device is behind {Group.Unit}");
        }
    }

    private void Put(HwPagetable table, int users)
    {
        table.Users -= users;
        if (table.Users == 0 && table is PagingHwPagetable { IsAutomatic: true })
        {
            Context.Remove(table);
        }
    }
}
