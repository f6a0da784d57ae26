using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>DEVICE_FEATURE: what a device writes.</content>
public abstract partial class VfioDevice
{
    /// <summary>Checks how many ranges are to be logged.</summary>
    /// <exception cref="VfioException">EINVAL: none; E2BIG: too many.</exception>
    internal static void CheckRangeCount(string what, uint count)
    {
        if (count is 0 or > VfioFeatureDmaLoggingControl.MaximumRanges)
        {
            throw new VfioException(
                count == 0 ? Errno.EINVAL : Errno.E2BIG, what, $"{count} ranges; 1 to {VfioFeatureDmaLoggingControl.MaximumRanges} are possible");
        }
    }

    /// <summary>Checks ranges to be logged, each in its turn.</summary>
    /// <exception cref="VfioException">EINVAL: not aligned, empty or overlapping an earlier one; EOVERFLOW: past the address space.</exception>
    internal static void AddLoggedRange(string what, List<IovaRange> ranges, ulong iova, ulong length, ulong pageSize)
    {
        ulong mask = pageSize - 1;
        if (((iova | length) & mask) != 0 || length == 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"[0x{iova:x}, +0x{length:x}) does not consist of pages of 0x{pageSize:x} bytes");
        }

        if (iova + length < iova)
        {
            throw new VfioException(Errno.EOVERFLOW, what, $"[0x{iova:x}, +0x{length:x}) ends past the address space");
        }

        var range = new IovaRange(iova, iova + (length - 1));
        if (ranges.Exists(r => r.Overlaps(range)))
        {
            throw new VfioException(Errno.EINVAL, what, $"{range} overlaps another range");
        }

        ranges.Add(range);
    }

    /// <summary>Checks what a report shall be about.</summary>
    /// <exception cref="VfioException">EINVAL: the page size, or nothing; EOVERFLOW: past the address space.</exception>
    internal static IovaRange CheckReport(string what, ulong iova, ulong length, ulong pageSize)
    {
        if (pageSize < VfioFeatureDmaLoggingReport.SmallestPage || !BitOperations.IsPow2(pageSize))
        {
            throw new VfioException(Errno.EINVAL, what, $"pages of {pageSize} bytes; a power of two of at least {VfioFeatureDmaLoggingReport.SmallestPage} is needed");
        }

        if (iova + length < iova)
        {
            throw new VfioException(Errno.EOVERFLOW, what, $"[0x{iova:x}, +0x{length:x}) ends past the address space");
        }

        return length != 0
            ? new IovaRange(iova, iova + (length - 1))
            : throw new VfioException(Errno.EINVAL, what, "the range is empty");
    }

    private static void LoggingStartFeature(in VfioFeatureRequest request, LoggingOperations logging)
    {
        if (!request.Proceed(VfioFeatureFlags.Set, VfioFeatureDmaLoggingControl.Length))
        {
            return;
        }

        VfioFeatureDmaLoggingControl control = request.Take<VfioFeatureDmaLoggingControl>();
        CheckRangeCount(request.What, control.RangeCount);
        var ranges = new List<IovaRange>((int)control.RangeCount);
        for (uint i = 0; i < control.RangeCount; i++)
        {
            var range = request.Fetch<VfioFeatureDmaLoggingRange>(control.Ranges + (i * VfioFeatureDmaLoggingRange.Length));
            AddLoggedRange(request.What, ranges, range.Iova, range.Size, control.PageSize);
        }

        control.PageSize = logging.Start!(ranges, control.PageSize);
        request.Put(control);
    }

    private static void LoggingStopFeature(in VfioFeatureRequest request, LoggingOperations logging)
    {
        if (request.Proceed(VfioFeatureFlags.Set, 0))
        {
            logging.Stop!();
        }
    }

    private static void LoggingReportFeature(in VfioFeatureRequest request, LoggingOperations logging)
    {
        if (!request.Proceed(VfioFeatureFlags.Get, VfioFeatureDmaLoggingReport.Length))
        {
            return;
        }

        VfioFeatureDmaLoggingReport report = request.Take<VfioFeatureDmaLoggingReport>();
        IovaRange range = CheckReport(request.What, report.Iova, report.Size, report.PageSize);
        var bitmap = new UserBitmap(request.What, request.Memory, report.Bitmap);
        logging.Report!(range, run => bitmap.Set((run.First - report.Iova) / report.PageSize, (run.Last - report.Iova) / report.PageSize));
    }
}
