using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Tests;

/// <summary>
/// A VMM with a disk that a process of its own serves, and the guest's driver: an admin queue and one I/O queue in memory that outlives a
/// migration. <see cref="Client"/> is whichever process has the disk now.
/// </summary>
internal sealed unsafe class NvmeUser : IDisposable
{
    public const ulong Iova = 0x10_0000;
    public const int MemorySize = 4 << 20;
    public const int Page = NvmeLimits.PageSize;
    private const int Entries = 64;
    private const ulong AdminSubmissions = Iova;
    private const ulong AdminCompletions = Iova + Page;
    private const ulong Submissions = Iova + (2 * Page);
    private const ulong Completions = Iova + (3 * Page);

    /// <summary>First page that is free for data.</summary>
    public const ulong Data = Iova + (16 * Page);

    private readonly MemoryFile _memory = MemoryFile.Create("guest", MemorySize);
    private readonly MemoryMapping _mapping;
    private readonly int[] _tails = new int[2];
    private readonly int[] _heads = new int[2];
    private readonly bool[] _phases = [true, true];

    public NvmeUser() => _mapping = MemoryMapping.Map(_memory.Descriptor.Value, 0, MemorySize, MemoryProtection.ReadWrite);

    public VfioUserClient Client { get; set; } = null!;

    public void Dispose()
    {
        _mapping.Dispose();
        _memory.Dispose();
    }

    /// <summary>Connects to a server and shares the memory with it.</summary>
    public VfioUserClient Connect(string socket)
    {
        VfioUserClient client = VfioUserClient.Connect(socket, ToolProcess.Patience);
        client.MapDma(Iova, MemorySize, DmaAccess.ReadWrite, _memory);
        return client;
    }

    /// <summary>Guest memory at an I/O address.</summary>
    public Span<byte> At(ulong iova, int length)
    {
        Assert.InRange(iova - Iova, 0ul, (ulong)(MemorySize - length));
        return new Span<byte>(_mapping.Pointer + (iova - Iova), length);
    }

    /// <summary>What a driver does at the start.</summary>
    public void Enable()
    {
        Client.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.Memory | PciCommand.BusMaster), 0]);
        Write32(NvmeRegisters.AdminQueueAttributes, new NvmeAdminQueueAttributes { SubmissionEntries = Entries, CompletionEntries = Entries }.Value);
        Write32(NvmeRegisters.AdminSubmissionQueue, (uint)AdminSubmissions);
        Write32(NvmeRegisters.AdminCompletionQueue, (uint)AdminCompletions);
        Write32(NvmeRegisters.Configuration, new NvmeConfiguration { Enabled = true, SubmissionEntryShift = 6, CompletionEntryShift = 4 }.Value);
        Assert.True(SpinWait.SpinUntil(() => new NvmeControllerStatus(Read32(NvmeRegisters.Status)).Ready, ToolProcess.Patience), "not ready");
        const uint Size = (Entries - 1) << NvmeQueueBits.SizeShift;
        Admin(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue, Prp1 = Completions, Cdw10 = Size | 1, Cdw11 = 1 });
        Admin(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.CreateSubmissionQueue, Prp1 = Submissions, Cdw10 = Size | 1, Cdw11 = 1 | (1 << NvmeQueueBits.CompletionQueueShift) });
    }

    /// <summary>Carries an admin command out, which must succeed.</summary>
    public void Admin(NvmeCommand command)
    {
        Submit(0, command);
        NvmeCompletion completion = default;
        Assert.True(SpinWait.SpinUntil(() => TryTake(0, out completion), ToolProcess.Patience), "an admin command is not completed");
        Assert.Equal(NvmeStatus.Success, completion.Status);
    }

    /// <summary>Puts a command into queue 0 or 1 and rings.</summary>
    public void Submit(int queue, NvmeCommand command)
    {
        MemoryMarshal.Write(At((queue == 0 ? AdminSubmissions : Submissions) + (ulong)(_tails[queue] * NvmeCommand.Length), NvmeCommand.Length), command);
        _tails[queue] = (_tails[queue] + 1) % Entries;
        Thread.MemoryBarrier();
        Write32(NvmeRegisters.Doorbells + (ulong)(2 * queue * NvmeRegisters.DoorbellSize), (uint)_tails[queue]);
    }

    /// <summary>Takes the next completion, if there is one.</summary>
    public bool TryTake(int queue, out NvmeCompletion completion, bool ring = true)
    {
        Span<byte> entry = At((queue == 0 ? AdminCompletions : Completions) + (ulong)(_heads[queue] * NvmeCompletion.Length), NvmeCompletion.Length);
        ref ushort status = ref MemoryMarshal.AsRef<ushort>(entry[NvmeCompletion.StatusOffset..]);
        completion = default;
        if ((Volatile.Read(ref status) & NvmeCompletion.Phase) != 0 != _phases[queue])
        {
            return false;
        }

        completion = MemoryMarshal.Read<NvmeCompletion>(entry);
        _heads[queue]++;
        if (_heads[queue] == Entries)
        {
            _heads[queue] = 0;
            _phases[queue] = !_phases[queue];
        }

        if (ring)
        {
            RingHead(queue);
        }

        return true;
    }

    /// <summary>Tells the device how far completions have been read.</summary>
    public void RingHead(int queue) =>
        Write32(NvmeRegisters.Doorbells + (ulong)(((2 * queue) + 1) * NvmeRegisters.DoorbellSize), (uint)_heads[queue]);

    public uint Read32(ulong offset)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        Client.Read(VfioRegions.Bar0, offset, word);
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    public void Write32(ulong offset, uint value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        Client.Write(VfioRegions.Bar0, offset, word);
    }
}
