using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Model;

/// <summary>
/// How a Linux guest uses its tables: when it tells the hypervisor, and what it does about the answers. Lazy guests gather unmaps until
/// <see cref="Flush"/>.
/// </summary>
internal sealed class LinuxIommu(GuestTables tables, IRefreshMode mode, DmaAperture aperture)
{
    /// <summary>Whether the group asks for refreshes after maps too.</summary>
    public bool RefreshesMaps { get; init; } = true;

    public bool IsLazy { get; init; }

    /// <summary>How often everything was refreshed because the hypervisor had run out.</summary>
    public int GlobalRefreshes { get; private set; }

    /// <summary>Maps pages and tells; when the hypervisor has run out, refreshes everything, which shows it what was freed, before giving up.</summary>
    /// <returns>Whether the pages are mapped; if not, the guest has taken them back.</returns>
    public bool Map(ulong iova, ulong address, int pages, bool writable = true)
    {
        tables.Map(iova, address, pages, writable);
        if (!RefreshesMaps)
        {
            return true;
        }

        RpcitAnswer answer = Refresh(iova, pages);
        if (answer.Status is ZpciStatus.InsufficientResources or ZpciStatus.Aborted)
        {
            GlobalRefreshes++;
            answer = Flush();
        }

        if (answer.ConditionCode == ZpciConditionCode.Done)
        {
            return true;
        }

        Unmap(iova, pages);
        return false;
    }

    /// <summary>Unmaps pages, and tells when it is strict. The answer is ignored.</summary>
    public void Unmap(ulong iova, int pages)
    {
        tables.Unmap(iova, pages);
        if (!IsLazy)
        {
            Refresh(iova, pages);
        }
    }

    /// <summary>Refreshes the whole aperture.</summary>
    public RpcitAnswer Flush() => mode.Refresh(aperture.First, aperture.Last - aperture.First + 1);

    private RpcitAnswer Refresh(ulong iova, int pages) => mode.Refresh(iova, (ulong)pages * ZpciIoTable.PageSize);
}
