using System.Buffers.Binary;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// What a tapped guest has written into the MSI-X table that QEMU keeps for it, and into the capability's control word: which message is whose, and what is
/// masked. An entry is known when each of its bytes has been seen written; what is not known counts as masked. For one thread.
/// </summary>
internal sealed class TapMessageTable
{
    /// <summary>No message of this vector may be shown.</summary>
    public const int Nothing = -1;

    private const int TableWatch = 0;
    private const int ControlWatch = 1;
    private const int ControlLength = sizeof(ushort);
    private const int DataOffset = 8;
    private const int MaskOffset = 12;
    private const int LongestStore = 8;
    private const ushort Known = ushort.MaxValue;
    private const ulong MessagePage = ~(ZpciIoTable.PageSize - 1);

    private readonly byte[] _entries;
    private readonly ushort[] _known;
    private readonly byte _tableSpace;
    private readonly ulong _table;
    private readonly ulong _control;
    private readonly byte[] _controlWord = new byte[ControlLength];

    public TapMessageTable(MsixCapability msix)
    {
        _entries = new byte[msix.TableLength];
        _known = new ushort[msix.Vectors];
        _tableSpace = (byte)msix.TableBar;
        _table = msix.TableOffset;
        _control = (ulong)msix.Offset + PciMsix.Control;
    }

    /// <summary>Has the plugin tell what the function's guest stores there.</summary>
    public void Watch(TapChannel channel, uint handle)
    {
        channel.Watch(TableWatch, handle, _tableSpace, _table, _table + (ulong)_entries.Length - 1);
        channel.Watch(ControlWatch, handle, ZpciRegister.ConfigurationSpace, _control, _control + ControlLength - 1);
    }

    /// <summary>Nothing is known any more: the device may have been reset.</summary>
    public void Forget()
    {
        Array.Clear(_known);
        Array.Clear(_controlWord);
    }

    /// <summary>The guest stores bytes, the most significant one of a register's rightmost first; or bytes that are not told.</summary>
    public void Store(ZpciRegister register, ulong offset, ulong value, bool isTold)
    {
        bool isTable = register.Space == _tableSpace;
        int length = isTold ? register.AccessLength : register.AccessLength & ZpciRegister.BlockLengthMask;
        bool isRight = isTold && length is > 0 and <= LongestStore;
        for (int i = 0; i < length; i++)
        {
            ulong at = offset + (ulong)i - (isTable ? _table : _control);
            byte stored = isRight ? (byte)(value >> (8 * (length - 1 - i))) : (byte)0;
            if (!isTable && at < ControlLength)
            {
                // One that is not told masks all, until it is written again.
                _controlWord[at] = isRight ? stored : byte.MaxValue;
            }
            else if (isTable && at < (ulong)_entries.Length)
            {
                ushort bit = (ushort)(1 << (int)(at % PciMsix.EntrySize));
                ref ushort known = ref _known[at / PciMsix.EntrySize];
                known = (ushort)(isRight ? known | bit : known & ~bit);
                _entries[at] = stored;
            }
        }
    }

    /// <summary>The zPCI message of each vector that is not masked, else <see cref="Nothing"/>.</summary>
    public int[] Messages()
    {
        bool isMasked = (BinaryPrimitives.ReadUInt16LittleEndian(_controlWord) & PciMsix.FunctionMask) != 0;
        int[] messages = new int[_known.Length];
        for (int vector = 0; vector < messages.Length; vector++)
        {
            ReadOnlySpan<byte> entry = _entries.AsSpan(vector * PciMsix.EntrySize, PciMsix.EntrySize);
            bool shows = !isMasked && _known[vector] == Known
                && (BinaryPrimitives.ReadUInt32LittleEndian(entry[MaskOffset..]) & PciMsix.VectorMasked) == 0
                && (BinaryPrimitives.ReadUInt64LittleEndian(entry) & MessagePage) == ZpciLimits.MsiAddress;
            messages[vector] = shows ? (int)(BinaryPrimitives.ReadUInt32LittleEndian(entry[DataOffset..]) & ZpciLimits.MsiVectorMask) : Nothing;
        }

        return messages;
    }
}
