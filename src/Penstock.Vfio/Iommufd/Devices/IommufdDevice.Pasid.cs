using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Process address space ids: page tables of their own for DMA that the device marks with a number.</content>
public sealed partial class IommufdDevice
{
    /// <summary>Attaches DMA with a PASID to a page table.</summary>
    /// <param name="pasid">The PASID, from 1.</param>
    /// <param name="id">Id of a page table that was made with the flag PASID; address spaces do not do.</param>
    /// <returns>The id.</returns>
    /// <exception cref="VfioException">
    /// ENOENT: no such id; EINVAL: not such a table, or the device's own table is none, or of another IOMMU, or the group uses another one with
    /// the PASID, or no such PASID; EBUSY: attached already; EADDRINUSE: a mapping touches what the device cannot use.
    /// </exception>
    public uint AttachPasid(uint pasid, uint id)
    {
        string what = $"attaching PASID {pasid} of {Name} to {id}";
        lock (Context.Gate)
        {
            HwPagetable table = RequirePasidTable(what, pasid, id);
            PasidAttachment? known = _group.Pasids.GetValueOrDefault(pasid);
            if (known is not null && known.Table != table)
            {
                throw new VfioException(Errno.EINVAL, what, $"the group uses {known.Table} with it");
            }

            if (known is not null && known.Devices.Contains(this))
            {
                throw new VfioException(Errno.EBUSY, what, "it is attached already");
            }

            ThrowUnlessCompatible(what, table);
            bool isFirst = known is null;
            known ??= new PasidAttachment(table);
            table.Paging.Ioas.Reserve(what, Group.Reserved, known);
            if (isFirst)
            {
                Group.AttachPasid(pasid, table.Domain);
                _group.Pasids.Add(pasid, known);
            }

            known.Devices.Add(this);
            table.Users++;
            return table.Id;
        }
    }

    /// <summary>Moves a PASID of the group to another page table.</summary>
    /// <param name="pasid">The PASID.</param>
    /// <param name="id">Id of the page table.</param>
    /// <returns>The id.</returns>
    /// <exception cref="VfioException">As <see cref="AttachPasid"/>; EINVAL: not attached. The old table then stays in force.</exception>
    public uint ReplacePasid(uint pasid, uint id)
    {
        string what = $"moving PASID {pasid} of {Name} to {id}";
        lock (Context.Gate)
        {
            HwPagetable table = RequirePasidTable(what, pasid, id);
            if (!_group.Pasids.TryGetValue(pasid, out PasidAttachment? known) || !known.Devices.Contains(this))
            {
                throw new VfioException(Errno.EINVAL, what, "it is not attached");
            }

            HwPagetable old = known.Table;
            if (old == table)
            {
                return id;
            }

            ThrowUnlessCompatible(what, table);
            var moved = new PasidAttachment(table);
            try
            {
                foreach (IommufdDevice device in known.Devices)
                {
                    table.Paging.Ioas.Reserve(what, Group.Reserved, moved);
                    moved.Devices.Add(device);
                }

                Group.AttachPasid(pasid, table.Domain);
            }
            catch
            {
                table.Paging.Ioas.Unreserve(moved);
                throw;
            }

            _group.Pasids[pasid] = moved;
            old.Paging.Ioas.Unreserve(known);

            table.Users += known.Devices.Count;
            Put(old, known.Devices.Count);
            return id;
        }
    }

    /// <summary>Detaches a PASID; its DMA is blocked with the last device of the group. Without effect when not attached.</summary>
    /// <param name="pasid">The PASID.</param>
    public void DetachPasid(uint pasid)
    {
        lock (Context.Gate)
        {
            if (!_group.Pasids.TryGetValue(pasid, out PasidAttachment? known) || !known.Devices.Contains(this))
            {
                return;
            }

            if (known.Devices.Count == 1)
            {
                // May refuse, and then nothing has changed.
                Group.DetachPasid(pasid);
                _group.Pasids.Remove(pasid);
            }

            known.Devices.Remove(this);

            known.Table.Paging.Ioas.UnreserveOnce(known, Group.Reserved);
            Put(known.Table, 1);
        }
    }

    internal bool HasPasid(uint pasid) => _group.Pasids.TryGetValue(pasid, out PasidAttachment? known) && known.Devices.Contains(this);

    internal void DetachPasids()
    {
        foreach (uint pasid in _group.Pasids.Keys.ToArray())
        {
            DetachPasid(pasid);
        }
    }

    private HwPagetable RequirePasidTable(string what, uint pasid, uint id)
    {
        ThrowIfDestroyed(what);
        IommufdObject found = Context.Find<IommufdObject>(what, id);
        if (pasid == 0 || pasid >> Group.Unit.Options.PasidBits != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"{Group.Unit} knows PASIDs of {Group.Unit.Options.PasidBits} bits, from 1");
        }

        if (found is not HwPagetable { IsForPasids: true } table)
        {
            throw new VfioException(Errno.EINVAL, what, $"{found} is no page table that was made with the flag PASID");
        }

        ThrowIfForeign(what, table);
        return table;
    }

    /// <summary>With PASIDs in use every table of the device is made for them, its main one included.</summary>
    private void ThrowUnlessCompatible(string what, HwPagetable table)
    {
        if (!table.IsForPasids || _group.Table is { IsForPasids: false })
        {
            throw new VfioException(Errno.EINVAL, what, "the device's own table was not made with the flag PASID");
        }
    }

    /// <summary>The table of a PASID in a group, and the devices that use it.</summary>
    internal sealed class PasidAttachment(HwPagetable table)
    {
        public HwPagetable Table { get; } = table;

        public List<IommufdDevice> Devices { get; } = [];
    }
}
