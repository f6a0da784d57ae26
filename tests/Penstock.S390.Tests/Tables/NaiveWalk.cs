using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Tables;

/// <summary>The walk as the specification's sentences have it, one after the other, with the numbers written out.</summary>
internal static class NaiveWalk
{
    public static (ZpciErrorEvent Fault, int Shift, bool IsValid, bool CanWrite, ulong Address) Walk(TableMemory memory, ulong iota, ulong iova)
    {
        bool canWrite = (iota & 0x200) == 0;
        ulong table = iota & ~0x3ffful;
        int type = (int)(iota >> 2) & 7;
        if ((iota & 0x800) == 0)
        {
            return (ZpciErrorEvent.InvalidAddressSpace, 12, false, false, 0);
        }

        if (type > 3)
        {
            return (ZpciErrorEvent.InvalidTranslationFormat, 12, false, false, 0);
        }

        int[] shifts = [12, 20, 31, 42, 53];
        if (type != 3 && iova >> shifts[type + 2] != 0)
        {
            return (ZpciErrorEvent.AddressOutOfRange, 12, false, false, 0);
        }

        for (int level = type + 1; ; level--)
        {
            int shift = shifts[level];
            memory.TryRead(table + (8 * ((iova >> shift) & (level == 0 ? 0xfful : 0x7fful))), out ulong entry);
            if (entry == 0)
            {
                return ((ZpciErrorEvent)7, shift, false, false, 0);
            }

            if ((entry & (level == 0 ? 0x400ul : 0x20ul)) != 0)
            {
                return (ZpciErrorEvent.None, shift, false, false, 0);
            }

            if (level >= 2 && ((entry & 3) != 3 || (entry & 0xc0) != 0))
            {
                return ((ZpciErrorEvent)8, shift, false, false, 0);
            }

            table = entry & (level == 0 ? ~0xffful : level == 1 ? ~0x7fful : ~0x3ffful);
            if ((level != 0 && (entry & 0xc) != (ulong)(level - 1) * 4) || table == 0)
            {
                return ((ZpciErrorEvent)9, shift, false, false, 0);
            }

            canWrite &= (entry & 0x200) == 0;
            if (level == 0)
            {
                return (ZpciErrorEvent.None, 12, true, canWrite, table | (iova & 0xfff));
            }

            if (level == 1 && (entry & 0x400) != 0)
            {
                return (ZpciErrorEvent.None, 20, true, canWrite, (entry & ~0xf_fffful) | (iova & 0xf_ffff));
            }
        }
    }
}
