using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>How much of a function's window is translated, and by which tables: as many levels as wanted, and no more (zPCI host domain).</summary>
/// <param name="Type">With which table the translation starts.</param>
/// <param name="Window">What is left of the function's window.</param>
internal readonly record struct ZpciAperture(ZpciDesignationType Type, IovaRange Window)
{
    /// <summary>Chooses tables for a function.</summary>
    /// <param name="window">First and last address of its DMA.</param>
    /// <param name="wanted">How many bytes are wanted; 0 for all.</param>
    /// <param name="supports">Which tables it can use, beside region third tables.</param>
    /// <returns>The choice.</returns>
    public static ZpciAperture Choose(IovaRange window, ulong wanted, Func<ZpciDesignationType, bool> supports)
    {
        ArgumentNullException.ThrowIfNull(supports);
        ulong first = FirstPage(window);
        ulong span = window.Last - first;
        ulong last = first + (wanted == 0 ? span : Math.Min(wanted - 1, span));
        if (last <= HostIoTables.LastAddress(ZpciDesignationType.RegionThird))
        {
            return new(ZpciDesignationType.RegionThird, new IovaRange(first, last));
        }

        ZpciDesignationType type =
            last <= HostIoTables.LastAddress(ZpciDesignationType.RegionSecond) && supports(ZpciDesignationType.RegionSecond) ? ZpciDesignationType.RegionSecond
            : supports(ZpciDesignationType.RegionFirst) ? ZpciDesignationType.RegionFirst
            : ZpciDesignationType.RegionThird;
        return new(type, new IovaRange(first, Math.Min(last, HostIoTables.LastAddress(type))));
    }

    /// <summary>The first whole page of a window.</summary>
    internal static ulong FirstPage(IovaRange window) => (window.First + ZpciIoTable.PageSize - 1) & ZpciIoTable.PageFrame;
}
