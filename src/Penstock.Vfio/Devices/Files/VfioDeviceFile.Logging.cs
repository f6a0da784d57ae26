using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>DMA logging as typed calls.</content>
public partial class VfioDeviceFile
{
    private const int BitsInByte = 8;

    /// <summary>Whether the device can remember what it writes (features 6 to 8).</summary>
    public bool HasDmaLogging => _device.Logging is not null;

    /// <summary>Begins to remember what the device writes (feature 6).</summary>
    /// <param name="ranges">Where; 1 to 256 ranges that do not overlap.</param>
    /// <param name="pageSize">Bytes that one bit should stand for; all ranges consist of such pages.</param>
    /// <returns>The page size that the device uses.</returns>
    /// <exception cref="VfioException">
    /// ENOTTY: the device cannot; EINVAL: no range, one that is not aligned or overlaps another, or logging is started; E2BIG: too many;
    /// EOVERFLOW: a range ends past the address space.
    /// </exception>
    public ulong StartDmaLogging(ReadOnlySpan<VfioFeatureDmaLoggingRange> ranges, ulong pageSize)
    {
        string what = $"starting DMA logging of {Name}";
        LoggingOperations logging = RequireLogging(what);
        VfioDevice.CheckRangeCount(what, (uint)ranges.Length);
        var list = new List<IovaRange>(ranges.Length);
        foreach (VfioFeatureDmaLoggingRange range in ranges)
        {
            VfioDevice.AddLoggedRange(what, list, range.Iova, range.Size, pageSize);
        }

        return logging.Start!(list, pageSize);
    }

    /// <summary>Ends it (feature 7); nothing happens when it is not started.</summary>
    /// <exception cref="VfioException">ENOTTY: the device cannot.</exception>
    public void StopDmaLogging() => RequireLogging("stopping DMA logging").Stop!();

    /// <summary>Tells what the device has written in a range, and forgets it (feature 8).</summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="pageSize">Bytes that one bit stands for: a power of two, at least 4096.</param>
    /// <param name="bitmap">Bits are set here, never cleared; bit 0 of byte 0 is the page at the first address.</param>
    /// <exception cref="VfioException">
    /// ENOTTY: the device cannot; EINVAL: page size, nothing, or logging is not started; EOVERFLOW: past the address space; EFAULT: the
    /// bitmap is too short.
    /// </exception>
    public unsafe void ReportDmaLogging(ulong iova, ulong length, ulong pageSize, Span<byte> bitmap)
    {
        string what = $"reading what {Name} has written";
        LoggingOperations logging = RequireLogging(what);
        IovaRange range = VfioDevice.CheckReport(what, iova, length, pageSize);
        if (((length - 1) / pageSize / BitsInByte) >= (ulong)bitmap.Length)
        {
            throw new VfioException(Errno.EFAULT, what, $"the bitmap has {bitmap.Length} bytes, too few for 0x{length:x} bytes in pages of 0x{pageSize:x}");
        }

        // SAFETY: the runs lie in the range, whose bits the bitmap holds, and are told before this returns.
        fixed (byte* bits = bitmap)
        {
            byte* start = bits;
            logging.Report!(range, run =>
            {
                for (ulong page = (run.First - iova) / pageSize; page <= (run.Last - iova) / pageSize; page++)
                {
                    start[page / BitsInByte] |= (byte)(1 << (int)(page % BitsInByte));
                }
            });
        }
    }

    private LoggingOperations RequireLogging(string what)
    {
        ThrowIfClosed(what);
        return _device.Logging ?? throw new VfioException(Errno.ENOTTY, what, $"{Name} does not remember what it writes");
    }
}
