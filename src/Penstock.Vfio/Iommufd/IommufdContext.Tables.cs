using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <content>Hardware page tables.</content>
public sealed partial class IommufdContext
{
    private const IommuHwptAllocFlags NestedFlags = IommuHwptAllocFlags.FaultIdValid | IommuHwptAllocFlags.Pasid;

    /// <summary>Makes a hardware page table (HWPT_ALLOC).</summary>
    /// <param name="request">What is wanted.</param>
    /// <returns>The table, without devices.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: type and data do not go together, or the parent is of a wrong kind; ENOENT: no such device or fault queue; EOPNOTSUPP: the
    /// device's IOMMU cannot do it; EADDRINUSE, EFAULT, ENOMEM: what is mapped does not go into the table.
    /// </exception>
    public HwPagetable AllocateHwPagetable(in HwPagetableRequest request)
    {
        ReadOnlyMemory<byte> data = request.Data;
        return AllocateHwPagetable(request, (uint)data.Length, () => data.ToArray());
    }

    /// <summary>As above, with data that is fetched only once everything else is right.</summary>
    internal HwPagetable AllocateHwPagetable(in HwPagetableRequest request, uint dataLength, Func<byte[]> fetch)
    {
        const string What = "HWPT_ALLOC";
        if ((request.DataType == IommufdLimits.NoData) != (dataLength == 0))
        {
            throw new VfioException(Errno.EINVAL, What, "a type needs data, and data need a type");
        }

        lock (Gate)
        {
            IommufdDevice device = Find<IommufdDevice>(What, request.DeviceId);
            IommufdObject? parent = request.ParentId != 0 && request.ParentId <= (uint)_objects.Count ? _objects[(int)request.ParentId - 1] : null;
            HwPagetable table = parent switch
            {
                Ioas ioas => AllocatePaging(What, request, device, ioas),
                PagingHwPagetable paging => AllocateNested(What, request, device, paging, dataLength, fetch),
                _ => throw new VfioException(Errno.EINVAL, What, $"object {request.ParentId} is neither an address space nor a paging table"),
            };
            try
            {
                if ((request.Flags & IommuHwptAllocFlags.FaultIdValid) != 0)
                {
                    table.Faults = Find<FaultQueue>(What, request.FaultId);
                    table.Faults.Users++;
                }

                return table;
            }
            catch
            {
                Remove(table);
                throw;
            }
        }
    }

    private PagingHwPagetable AllocatePaging(string what, in HwPagetableRequest request, IommufdDevice device, Ioas ioas)
    {
        IommuHwptAllocFlags flags = request.Flags;
        if ((flags & ~IommuHwptAllocFlags.All) != 0)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"unknown flags {flags}");
        }

        IommuUnitOptions unit = device.Group.Unit.Options;
        if ((flags & IommuHwptAllocFlags.DirtyTracking) != 0 && !unit.DirtyTracking)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"{device.Group.Unit} cannot track device writes");
        }

        const IommuHwptAllocFlags FaultAndParent = IommuHwptAllocFlags.FaultIdValid | IommuHwptAllocFlags.NestParent;
        if ((flags & FaultAndParent) == FaultAndParent)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, "a table below nested ones reports no faults");
        }

        if (((flags & IommuHwptAllocFlags.Pasid) != 0 && unit.PasidBits == 0) || request.DataType != IommufdLimits.NoData
            || ((flags & IommuHwptAllocFlags.NestParent) != 0 && unit.NestedTranslations.Count == 0))
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"{device.Group.Unit} has no PASIDs, no data for paging tables, or no nesting");
        }

        var table = new PagingHwPagetable(ioas, device.Group.Unit, flags, automatic: false) { IsForPasids = (flags & IommuHwptAllocFlags.Pasid) != 0 };
        try
        {
            AddTable(what, table);
            return table;
        }
        catch
        {
            table.Domain.Dispose();
            throw;
        }
    }

    private NestedHwPagetable AllocateNested(
        string what, in HwPagetableRequest request, IommufdDevice device, PagingHwPagetable parent, uint dataLength, Func<byte[]> fetch)
    {
        IommuUnit unit = device.Group.Unit;
        if ((request.Flags & ~NestedFlags) != 0 || dataLength == 0 || unit.Options.NestedTranslations.Count == 0)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"a nested table takes data and no flags {request.Flags}, and its IOMMU must nest");
        }

        if (parent.IsAutomatic || !parent.IsNestParent || parent.Unit != unit)
        {
            throw new VfioException(Errno.EINVAL, what, $"{parent} was not made with NEST_PARENT for {unit}");
        }

        uint type = request.DataType;
        NestedTranslation kind = unit.Options.NestedTranslations.FirstOrDefault(n => n.DataType == type)
            ?? throw new VfioException(Errno.EOPNOTSUPP, what, $"{unit} does not nest data of type 0x{type:x}");
        bool forPasids = (request.Flags & IommuHwptAllocFlags.Pasid) != 0;
        if (forPasids && unit.Options.PasidBits == 0)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"{unit} has no PASIDs");
        }

        if (dataLength < (uint)kind.MinimumDataLength)
        {
            throw new VfioException(Errno.EINVAL, what, $"{dataLength} bytes of data, {kind.MinimumDataLength} are needed");
        }

        var table = new NestedHwPagetable(parent, kind.Create(parent, fetch())) { IsForPasids = forPasids };
        parent.Users++;
        return Add(table);
    }
}
