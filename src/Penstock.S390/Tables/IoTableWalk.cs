using System.Runtime.CompilerServices;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>
/// Walks I/O translation tables (zPCI architecture, I/O translation): from any first level down to a page or a large frame. Nothing is
/// allocated, thrown or locked; may be called on any thread, while the guest changes the tables.
/// <para>
/// Table memory that cannot be read counts as entries of zero, thus as <see cref="ZpciErrorEvent.InvalidTableEntry"/>: that is what a
/// hypervisor sees that reads nothing there. An address above what the first table covers is
/// <see cref="ZpciErrorEvent.AddressOutOfRange"/> and never wraps.
/// </para>
/// </summary>
public static class IoTableWalk
{
    private const ulong RegionFlags = ZpciIoTable.OffsetMask | ZpciIoTable.TableInvalid | ZpciIoTable.TypeMask | ZpciIoTable.LengthMask;
    private const ulong SegmentFlags = ZpciIoTable.TableInvalid | ZpciIoTable.TypeMask;
    private const ulong IndexMask = (ZpciIoTable.TableEntries - 1) * ZpciIoTable.EntrySize;
    private const ulong PageIndexMask = (ZpciIoTable.PageEntries - 1) * ZpciIoTable.EntrySize;
    private const int EntryShift = 3;

    /// <summary>Walks for one address.</summary>
    /// <typeparam name="TReader">What reads the tables.</typeparam>
    /// <param name="reader">What reads the tables.</param>
    /// <param name="iota">The anchor.</param>
    /// <param name="iova">The address.</param>
    /// <returns>
    /// Where it leads. An anchor without translation is <see cref="ZpciErrorEvent.InvalidAddressSpace"/>, one that designates no table
    /// <see cref="ZpciErrorEvent.InvalidTranslationFormat"/>.
    /// </returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoWalk Walk<TReader>(in TReader reader, Iota iota, ulong iova)
        where TReader : struct, ITableReader
    {
        if (!iota.HasTable || iova > iota.LastAddress)
        {
            return Refused(iota, iova);
        }

        ulong table = iota.Origin;
        ulong seen = iota.Value;
        ulong entry;
        int level = (int)iota.Level;
        ulong type = (ulong)iota.DesignationType * ZpciIoTable.TypeStep;
        while (level != (int)ZpciTableLevel.Segment)
        {
            reader.TryRead(table + ((iova >> (level - EntryShift)) & IndexMask), out entry);
            table = entry & ZpciIoTable.RegionOrigin;
            if ((entry & RegionFlags) != (type | ZpciIoTable.LengthMask) || table == 0)
            {
                return EndedAtRegion(entry, iova, (ZpciTableLevel)level);
            }

            seen |= entry;
            level -= ZpciIoTable.LevelBits;
            type -= ZpciIoTable.TypeStep;
        }

        reader.TryRead(table + ((iova >> ((int)ZpciTableLevel.Segment - EntryShift)) & IndexMask), out entry);
        table = entry & ZpciIoTable.SegmentOrigin;
        if ((entry & SegmentFlags) != 0 || table == 0)
        {
            return EndedAtSegment(entry, iova);
        }

        seen |= entry;
        if ((entry & ZpciIoTable.LargeFrame) != 0)
        {
            ulong address = (entry & ZpciIoTable.SegmentFrame) | (iova & ~ZpciIoTable.SegmentFrame);
            return new IoWalk(iova, address, ZpciTableLevel.Segment, (seen & ZpciIoTable.Protected) == 0);
        }

        reader.TryRead(table + ((iova >> ((int)ZpciTableLevel.Page - EntryShift)) & PageIndexMask), out entry);
        table = entry & ZpciIoTable.PageFrame;
        if ((entry & ZpciIoTable.PageInvalid) != 0 || table == 0)
        {
            return EndedAtPage(entry, iova);
        }

        return new IoWalk(iova, table | (iova & ~ZpciIoTable.PageFrame), ZpciTableLevel.Page, ((seen | entry) & ZpciIoTable.Protected) == 0);
    }

    private static IoWalk Refused(Iota iota, ulong iova)
    {
        ZpciErrorEvent fault = !iota.IsTranslating ? ZpciErrorEvent.InvalidAddressSpace
            : !iota.HasTable ? ZpciErrorEvent.InvalidTranslationFormat
            : ZpciErrorEvent.AddressOutOfRange;
        return IoWalk.Failed(iova, ZpciTableLevel.Page, fault);
    }

    private static IoWalk EndedAtRegion(ulong entry, ulong iova, ZpciTableLevel level) =>
        entry == 0 ? IoWalk.Failed(iova, level, ZpciErrorEvent.InvalidTableEntry)
        : (entry & ZpciIoTable.TableInvalid) != 0 ? IoWalk.Invalid(iova, level)
        : (entry & (ZpciIoTable.LengthMask | ZpciIoTable.OffsetMask)) != ZpciIoTable.LengthMask
            ? IoWalk.Failed(iova, level, ZpciErrorEvent.InvalidTableLength)
        : IoWalk.Failed(iova, level, ZpciErrorEvent.TranslationType);

    private static IoWalk EndedAtSegment(ulong entry, ulong iova) =>
        entry == 0 ? IoWalk.Failed(iova, ZpciTableLevel.Segment, ZpciErrorEvent.InvalidTableEntry)
        : (entry & ZpciIoTable.TableInvalid) != 0 ? IoWalk.Invalid(iova, ZpciTableLevel.Segment)
        : IoWalk.Failed(iova, ZpciTableLevel.Segment, ZpciErrorEvent.TranslationType);

    private static IoWalk EndedAtPage(ulong entry, ulong iova) =>
        entry == 0 ? IoWalk.Failed(iova, ZpciTableLevel.Page, ZpciErrorEvent.InvalidTableEntry)
        : (entry & ZpciIoTable.PageInvalid) != 0 ? IoWalk.Invalid(iova, ZpciTableLevel.Page)
        : IoWalk.Failed(iova, ZpciTableLevel.Page, ZpciErrorEvent.TranslationType);
}
