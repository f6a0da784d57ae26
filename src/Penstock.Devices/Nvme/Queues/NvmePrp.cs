using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>Physical region pages: where in the host's memory a command's data is (NVM Express Base 1.4, section 4.3).</summary>
internal static class NvmePrp
{
    private const int PageSize = NvmeLimits.PageSize;
    private const ulong OffsetMask = PageSize - 1;
    private const ulong DwordMask = sizeof(uint) - 1;
    private const ulong EntryMask = NvmeLimits.PrpEntrySize - 1;

    /// <summary>How many segments a transfer needs at most: one more than it has pages, for a start inside a page.</summary>
    internal static int SegmentsFor(uint length) => (int)((length + PageSize - 1) / PageSize) + 1;

    /// <summary>
    /// Walks the pages of a command, lists included; each part of a list is copied once before it is looked at. Pages that follow one
    /// another become one segment.
    /// </summary>
    /// <param name="memory">The host's memory.</param>
    /// <param name="prp1">First entry.</param>
    /// <param name="prp2">Second entry.</param>
    /// <param name="length">Bytes of data, at least 1.</param>
    /// <param name="segments">Receives the segments; as many as <see cref="SegmentsFor"/> says.</param>
    /// <param name="count">How many there are.</param>
    /// <param name="status">What is wrong with the entries, when the result is none.</param>
    /// <returns>None; the error of reading a list: EAGAIN where only borrowing is allowed.</returns>
    internal static Errno Walk(
        in NvmeHostMemory memory, ulong prp1, ulong prp2, uint length, Span<NvmeSegment> segments, out int count, out NvmeStatus status)
    {
        count = 0;
        status = NvmeStatus.Success;
        if ((prp1 & DwordMask) != 0)
        {
            status = NvmeStatus.InvalidPrpOffset;
            return Errno.None;
        }

        uint first = Math.Min(length, PageSize - (uint)(prp1 & OffsetMask));
        segments[count++] = new NvmeSegment(prp1, first);
        uint rest = length - first;
        if (rest == 0)
        {
            return Errno.None;
        }

        if (prp2 == 0)
        {
            status = NvmeStatus.InvalidField;
            return Errno.None;
        }

        if (rest <= PageSize)
        {
            status = Add(segments, ref count, prp2, ref rest);
            return Errno.None;
        }

        return WalkList(memory, prp2, rest, segments, ref count, out status);
    }

    private static Errno WalkList(
        in NvmeHostMemory memory, ulong list, uint rest, Span<NvmeSegment> segments, ref int count, out NvmeStatus status)
    {
        Span<ulong> entries = stackalloc ulong[PageSize / NvmeLimits.PrpEntrySize];
        status = NvmeStatus.InvalidPrpOffset;
        if ((list & EntryMask) != 0)
        {
            return Errno.None;
        }

        while (true)
        {
            int pages = (int)((rest + PageSize - 1) / PageSize);
            int room = (PageSize - (int)(list & OffsetMask)) / NvmeLimits.PrpEntrySize;
            bool isLast = pages <= room;
            Span<ulong> part = entries[..(isLast ? pages : room)];
            Errno errno = memory.Read(list, MemoryMarshal.AsBytes(part));
            if (errno != Errno.None)
            {
                return errno;
            }

            foreach (ulong page in isLast ? part : part[..^1])
            {
                status = Add(segments, ref count, page, ref rest);
                if (status != NvmeStatus.Success)
                {
                    return Errno.None;
                }
            }

            if (isLast)
            {
                status = NvmeStatus.Success;
                return Errno.None;
            }

            // The last entry of a page that does not hold all is where the list goes on.
            list = part[^1];
            if ((list & OffsetMask) != 0)
            {
                status = NvmeStatus.InvalidPrpOffset;
                return Errno.None;
            }
        }
    }

    private static NvmeStatus Add(Span<NvmeSegment> segments, ref int count, ulong page, ref uint rest)
    {
        if ((page & OffsetMask) != 0)
        {
            return NvmeStatus.InvalidPrpOffset;
        }

        uint length = Math.Min(rest, PageSize);
        rest -= length;
        NvmeSegment last = segments[count - 1];
        if (last.Iova + last.Length == page && page != 0)
        {
            segments[count - 1] = last with { Length = last.Length + length };
        }
        else
        {
            segments[count++] = new NvmeSegment(page, length);
        }

        return NvmeStatus.Success;
    }
}
