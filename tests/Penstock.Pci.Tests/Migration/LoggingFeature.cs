using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.Vfio.Tests;

namespace Penstock.Pci.Tests;

/// <summary>The features of DMA logging, by calls as a program makes them.</summary>
internal static class LoggingFeature
{
    public static unsafe Errno StartLogging(this VfioDeviceFile file, ref ulong pageSize, params VfioFeatureDmaLoggingRange[] ranges)
    {
        // SAFETY: the call is over before the array may move.
        fixed (VfioFeatureDmaLoggingRange* first = ranges)
        {
            var control = new VfioFeatureDmaLoggingControl { PageSize = pageSize, RangeCount = (uint)ranges.Length, Ranges = (ulong)first };
            Errno errno = file.Call(VfioFeature.DmaLoggingStart, VfioFeatureFlags.Set, ref control);
            pageSize = control.PageSize;
            return errno;
        }
    }

    public static Errno StopLogging(this VfioDeviceFile file) => file.Call(VfioFeature.DmaLoggingStop, VfioFeatureFlags.Set);

    public static unsafe Errno Report(this VfioDeviceFile file, ulong iova, ulong length, ulong pageSize, ulong[] bitmap)
    {
        // SAFETY: as above.
        fixed (ulong* first = bitmap)
        {
            var report = new VfioFeatureDmaLoggingReport { Iova = iova, Size = length, PageSize = pageSize, Bitmap = (ulong)first };
            return file.Call(VfioFeature.DmaLoggingReport, VfioFeatureFlags.Get, ref report);
        }
    }

    public static VfioFeatureDmaLoggingRange Range(ulong iova, ulong size) => new() { Iova = iova, Size = size };
}
