using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Makes I/O commands: right ones, wrong ones, and ones that are wrong in a single place. Each slot has blocks of its own.</summary>
internal sealed class HostileIo(HostileMemory memory, HostileModel model, Random random, int blockSize)
{
    private const int Page = HostileMemory.Page;

    private int BlocksOfSlot => (int)model.Blocks / HostileMemory.Slots;

    public HostileCommand Next(int slot)
    {
        byte opcode = random.Next(12) == 0 ? (byte)random.Next(256) : (byte)OneOf(0, 1, 1, 1, 2, 2, 2, 5, 8, 9);
        var command = new NvmeCommand
        {
            Opcode = opcode,
            Flags = (NvmeCommandFlags)(random.Next(25) == 0 ? random.Next(256) : 0),
            NamespaceId = random.Next(25) == 0 ? (uint)OneOf(0, 2, -1, random.Next()) : 1,
            Cdw2 = (uint)random.Next(),
            Cdw3 = (uint)random.Next(),
            MetadataPointer = (ulong)random.NextInt64(),
            Cdw13 = (uint)random.Next(),
            Cdw14 = (uint)random.Next(),
            Cdw15 = (uint)random.Next(),
        };
        Place(ref command, slot);
        int length = opcode == 9 ? (int)((command.Cdw10 & 0xff) + 1) * 16 : (int)Math.Min(((command.Cdw12 & 0xffff) + 1) * (uint)blockSize, HostileModel.MaxTransfer);
        Point(ref command, slot, length);
        if (opcode == 9)
        {
            PutRanges(command, slot, length);
        }

        var hostile = new HostileCommand { Command = command, Slot = slot };
        model.Judge(hostile);
        if (opcode == 5 && hostile.Wrong.Count == 0 && random.Next(2) == 0)
        {
            PutContent(hostile);
        }

        // Leftovers of other commands may be ranges, too, and then of blocks that another slot is at.
        bool strays = opcode == 9 && hostile.Wrong.Count == 0
            && model.Ranges(hostile).Any(r => r.Blocks != 0 && ((int)r.StartingLba / BlocksOfSlot != slot || ((int)r.StartingLba + (int)r.Blocks - 1) / BlocksOfSlot != slot));
        return strays ? Next(slot) : hostile;
    }

    private int OneOf(params int[] values) => values[random.Next(values.Length)];

    /// <summary>Blocks of the slot, or blocks that are not there.</summary>
    private void Place(ref NvmeCommand command, int slot)
    {
        if (command.Opcode == 9)
        {
            command.Cdw10 = ((uint)random.Next() & 0xffffff00) | (uint)random.Next(random.Next(4) == 0 ? 256 : 4);
            command.Cdw11 = (uint)random.Next();
            return;
        }

        int count = random.Next(1, (random.Next(4) == 0 ? BlocksOfSlot : Math.Min(BlocksOfSlot, 3 * Page / blockSize)) + 1);
        command.StartingLba = (ulong)((slot * BlocksOfSlot) + random.Next(BlocksOfSlot - count + 1));
        switch (random.Next(20))
        {
            case 0:
                command.StartingLba = model.Blocks - (ulong)random.Next(count);
                break;
            case 1:
                command.StartingLba = ulong.MaxValue - (ulong)random.Next(70_000);
                break;
            case 2:
                command.StartingLba = (1ul << 40) + (ulong)random.NextInt64();
                break;
            case 3 when command.Opcode is 1 or 2 or 5:
                count = random.Next(1, 65537);
                command.StartingLba = (ulong)(slot * BlocksOfSlot);
                count = count <= BlocksOfSlot ? BlocksOfSlot : count;
                break;
        }

        command.Cdw12 = ((uint)random.Next() & 0xffff0000) | (uint)(count - 1);
    }

    /// <summary>PRPs for so many bytes, of which sometimes one is wrong.</summary>
    private void Point(ref NvmeCommand command, int slot, int length)
    {
        bool aligned = random.Next(2) == 0;
        command.Prp1 = RandomPage(slot) + (aligned ? 0 : (ulong)(random.Next(Page / 4) * 4));
        int first = Math.Min(length, Page - (int)(command.Prp1 % Page));
        int pages = (length - first + Page - 1) / Page;
        command.Prp2 = pages == 1 ? RandomPage(slot) : random.Next(3) == 0 ? (ulong)random.NextInt64() : 0;
        if (pages > 1)
        {
            PutList(ref command, slot, pages);
        }

        switch (random.Next(60))
        {
            case 0:
                command.Prp1 |= 1u + (uint)random.Next(3);
                break;
            case 1:
                command.Prp2 |= pages > 1 ? (uint)random.Next(8) : (uint)random.Next(Page);
                break;
            case 2:
                command.Prp2 = 0;
                break;
            case 3:
                command.Prp1 = (ulong)random.NextInt64() & ~3ul;
                break;
            case 4:
                command.Prp1 = ~(ulong)random.Next(2 * Page) & ~3ul;
                break;
            case 5:
                command.Prp2 = ~(ulong)random.Next(2 * Page) & ~7ul;
                break;
        }
    }

    private void PutList(ref NvmeCommand command, int slot, int pages)
    {
        ulong list = memory.ListOf(slot);

        // Near the end of its page a list goes on in the next one.
        command.Prp2 = list + (random.Next(3) == 0 ? (ulong)(Page - (8 * random.Next(1, 20))) : (ulong)(8 * random.Next(400)));
        ulong at = command.Prp2;
        for (int page = 0; page < pages; page++)
        {
            if (at % Page == Page - 8 && page < pages - 1)
            {
                ulong next = list + Page + (random.Next(40) == 0 ? 8ul : 0);
                Put(at, next);
                at = list + Page;
            }

            Put(at, RandomPage(slot) + (random.Next(300) == 0 ? (ulong)random.Next(1, Page) : 0));
            at += 8;
        }

        void Put(ulong address, ulong entry) => MemoryMarshal.Write(memory.Actual(address, 8), entry);
    }

    private ulong RandomPage(int slot) => memory.PageOf(slot, random.Next(HostileMemory.PagesOfSlot));

    private void PutRanges(in NvmeCommand command, int slot, int length)
    {
        if (memory.AccessTo(command.Prp1) is null || length > Page - (int)(command.Prp1 % Page) || command.Prp1 % 4 != 0 || random.Next(6) == 0)
        {
            return;
        }

        byte[] bytes = new byte[length];
        Span<NvmeDatasetRange> ranges = MemoryMarshal.Cast<byte, NvmeDatasetRange>(bytes.AsSpan());
        foreach (ref NvmeDatasetRange range in ranges)
        {
            int count = random.Next(BlocksOfSlot / 4);
            range = new NvmeDatasetRange
            {
                Attributes = (uint)random.Next(),
                Blocks = (uint)count,
                StartingLba = (ulong)((slot * BlocksOfSlot) + random.Next(BlocksOfSlot - count)),
            };
            if (random.Next(200) == 0)
            {
                range.StartingLba = random.Next(2) == 0 ? model.Blocks : ulong.MaxValue - 1;
                range.Blocks = (uint)random.Next(1, int.MaxValue);
            }
        }

        memory.Write(command.Prp1, bytes);
    }

    /// <summary>Lets a comparison succeed, if its pages are not used twice.</summary>
    private void PutContent(HostileCommand command)
    {
        int at = (int)command.Command.StartingLba * blockSize;
        foreach ((ulong address, int length) in command.Segments)
        {
            memory.Write(address, model.Content.AsSpan(at, length));
            at += length;
        }
    }
}
