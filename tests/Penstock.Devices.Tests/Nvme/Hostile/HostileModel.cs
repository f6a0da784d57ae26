using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>
/// A naive disk: says what may come of an I/O command, and does to an array and to the copy of the host's memory what the device does to the
/// real ones. Written from the specification, without regard to speed or to how the device does it.
/// </summary>
internal sealed class HostileModel(HostileMemory memory, byte[] content, int blockSize)
{
    public const int MaxTransfer = 128 << 10;
    private const int Page = HostileMemory.Page;

    /// <summary>What must be on the medium.</summary>
    public byte[] Content { get; } = [.. content];

    public ulong Blocks => (ulong)(Content.Length / blockSize);

    /// <summary>Finds everything that is wrong with a command.</summary>
    public void Judge(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        if (((int)c.Flags & 0xc3) != 0)
        {
            command.Wrong.Add(NvmeStatus.InvalidField);
        }

        if (c.Opcode is not (0 or 1 or 2 or 5 or 8 or 9))
        {
            command.Wrong.Add(NvmeStatus.InvalidOpcode);
            return;
        }

        if (c.NamespaceId != 1 && !(c.Opcode == 0 && c.NamespaceId == uint.MaxValue))
        {
            command.Wrong.Add(NvmeStatus.InvalidNamespace);
        }

        if (c.Opcode == 0)
        {
            return;
        }

        UInt128 count = (c.Cdw12 & 0xffff) + 1;
        UInt128 length = c.Opcode == 9 ? ((c.Cdw10 & 0xff) + 1) * 16 : count * (uint)blockSize;
        if (c.Opcode != 9 && (UInt128)c.StartingLba + count > Blocks)
        {
            command.Wrong.Add(NvmeStatus.LbaOutOfRange);
        }

        if (c.Opcode == 8)
        {
            return;
        }

        if (length > MaxTransfer)
        {
            command.Wrong.Add(NvmeStatus.InvalidField);
            return;
        }

        JudgePrps(command, (int)length, toHost: c.Opcode == 2);
        if (c.Opcode == 9 && command.Wrong.Count == 0 && Ranges(command).Any(r => r.Blocks != 0 && (UInt128)r.StartingLba + r.Blocks > Blocks))
        {
            command.Wrong.Add(NvmeStatus.LbaOutOfRange);
        }
    }

    /// <summary>Does what a command without faults does.</summary>
    /// <returns>Its status.</returns>
    public NvmeStatus Execute(HostileCommand command)
    {
        NvmeCommand c = command.Command;
        int at = c.Opcode is 0 or 9 ? 0 : (int)c.StartingLba * blockSize;
        int length = (int)((c.Cdw12 & 0xffff) + 1) * blockSize;
        switch (c.Opcode)
        {
            case 1:
                foreach ((ulong address, int part) in command.Segments)
                {
                    memory.Expected(address, part).CopyTo(Content.AsSpan(at));
                    at += part;
                }

                break;
            case 2:
                foreach ((ulong address, int part) in command.Segments)
                {
                    Content.AsSpan(at, part).CopyTo(memory.Expected(address, part));
                    at += part;
                }

                break;
            case 5:
                foreach ((ulong address, int part) in command.Segments)
                {
                    if (!memory.Expected(address, part).SequenceEqual(Content.AsSpan(at, part)))
                    {
                        return NvmeStatus.CompareFailure;
                    }

                    at += part;
                }

                break;
            case 8:
                Content.AsSpan(at, length).Clear();
                break;
            case 9 when (c.Cdw11 & 4) != 0:
                foreach (NvmeDatasetRange range in Ranges(command))
                {
                    Content.AsSpan((int)(range.Blocks == 0 ? 0 : range.StartingLba) * blockSize, (int)range.Blocks * blockSize).Clear();
                }

                break;
        }

        return NvmeStatus.Success;
    }

    /// <summary>Walks the entries, and notes all that is wrong with any of them.</summary>
    public void JudgePrps(HostileCommand command, int length, bool toHost)
    {
        NvmeCommand c = command.Command;
        if (c.Prp1 % 4 != 0)
        {
            command.Wrong.Add(NvmeStatus.InvalidPrpOffset);
            return;
        }

        int first = Math.Min(length, Page - (int)(c.Prp1 % Page));
        Add(command, c.Prp1, first, toHost);
        int rest = length - first;
        if (rest == 0)
        {
            return;
        }

        if (c.Prp2 == 0)
        {
            command.Wrong.Add(NvmeStatus.InvalidField);
        }
        else if (rest <= Page)
        {
            AddPage(command, c.Prp2, rest, toHost);
        }
        else
        {
            JudgeList(command, c.Prp2, rest, toHost);
        }
    }

    private void JudgeList(HostileCommand command, ulong list, int rest, bool toHost)
    {
        if (list % 8 != 0)
        {
            command.Wrong.Add(NvmeStatus.InvalidPrpOffset);
            return;
        }

        while (rest > 0)
        {
            // Lists of this host are in pages of their own; elsewhere there is nothing, or what is no list.
            if (!memory.IsList(command.Slot, list, 8))
            {
                command.Wrong.Add(NvmeStatus.DataTransferError);
                command.Wrong.Add(NvmeStatus.InvalidPrpOffset);
                return;
            }

            ulong entry = MemoryMarshal.Read<ulong>(memory.Actual(list, 8));
            if (list % Page == Page - 8 && rest > Page)
            {
                if (entry % Page != 0)
                {
                    command.Wrong.Add(NvmeStatus.InvalidPrpOffset);
                    return;
                }

                list = entry;
                continue;
            }

            AddPage(command, entry, Math.Min(rest, Page), toHost);
            rest -= Page;
            list += 8;
        }
    }

    private void AddPage(HostileCommand command, ulong address, int length, bool toHost)
    {
        if (address % Page != 0)
        {
            command.Wrong.Add(NvmeStatus.InvalidPrpOffset);
            return;
        }

        Add(command, address, length, toHost);
    }

    private void Add(HostileCommand command, ulong address, int length, bool toHost)
    {
        DmaAccess needed = toHost ? DmaAccess.Write : DmaAccess.Read;
        if (memory.AccessTo(address) is { } access && (access & needed) != 0)
        {
            command.Segments.Add((address, length));
        }
        else
        {
            command.Wrong.Add(NvmeStatus.DataTransferError);
        }
    }

    /// <summary>The ranges of a dataset management, from its data.</summary>
    public List<NvmeDatasetRange> Ranges(HostileCommand command)
    {
        byte[] bytes = [.. command.Segments.SelectMany(s => memory.Expected(s.Address, s.Length).ToArray())];
        return [.. MemoryMarshal.Cast<byte, NvmeDatasetRange>(bytes)];
    }
}
