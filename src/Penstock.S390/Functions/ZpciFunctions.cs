using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>Makes functions as a machine without peculiarities has them.</summary>
public static class ZpciFunctions
{
    /// <summary>A function with the usual window for DMA, and a group with the usual limits.</summary>
    /// <param name="id">Function id.</param>
    /// <param name="index">Index in its handle.</param>
    /// <param name="util">A text about it of at most 64 characters; null for none.</param>
    /// <param name="firmware">The firmware that serves it; null when that is not modelled.</param>
    /// <returns>The function, enabled.</returns>
    public static ZpciFunction Create(uint id, ushort index, string? util = null, ZpciFirmware? firmware = null) => new(id, index)
    {
        Firmware = firmware,
        Base = new ZpciBaseInfo
        {
            StartDma = ZpciLimits.StartDma,
            EndDma = ZpciLimits.EndDma,
        },
        Group = new ZpciGroupInfo
        {
            MsiAddress = ZpciLimits.MsiAddress,
            Flags = ZpciGroupInfo.Refresh,
            MeasurementInterval = ZpciLimits.MeasurementInterval,
            Interrupts = ZpciLimits.Interrupts,
            MaximumStore = ZpciLimits.MaximumStore,
            MaximumInterpretedStore = ZpciLimits.MaximumStore,
        },
        Util = util is null ? default : Ebcdic.Encode(util, ZpciDescription.Count),
    };
}
